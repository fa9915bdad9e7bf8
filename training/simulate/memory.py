"""What a process that simulates many cases asks of the C library.

Every case takes and frees the same few hundred megabytes many times over; getting them anew from
the system, page by page, takes a third of its time. With another C library than GNU's nothing is
changed.
"""

import ctypes
import platform
import resource
from pathlib import Path

# Parameters of mallopt(3), as <malloc.h> of the GNU C library numbers them.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
NEVER = 2**31 - 1
# What a process may hold between two cases; the next one needs up to half a gigabyte more.
MOST_BYTES = 3.4e9
STATUS = Path("/proc/self/statm")


def keep_freed_memory() -> None:
    """Keep what is freed for the next array, in the whole process."""
    library = _gnu_library()
    if library is not None:
        for parameter in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
            library.mallopt(parameter, NEVER)


def give_back_excess() -> None:
    """Give freed memory back, between two cases, if the process holds more than MOST_BYTES.

    Arrays of ever other sizes leave gaps, and with them a process would grow.
    """
    library = _gnu_library()
    if library is not None and STATUS.exists() and resident_bytes() > MOST_BYTES:
        library.malloc_trim(0)


def resident_bytes() -> int:
    """Return how much memory the process holds (Linux)."""
    return int(STATUS.read_text().split()[1]) * resource.getpagesize()


def _gnu_library() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
