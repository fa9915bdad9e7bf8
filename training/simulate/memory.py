"""What a process that simulates many cases asks of the C library."""

import ctypes
import platform

# Parameters of mallopt(3), as <malloc.h> of the GNU C library numbers them.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Keep what is freed for the next array instead of giving it back to the system.

    Every case takes and frees the same few hundred megabytes many times over; getting them anew,
    page by page, took a third of the time. Counts for the whole process; with another C library
    than GNU's nothing is changed.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    for parameter in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
        library.mallopt(parameter, NEVER)
