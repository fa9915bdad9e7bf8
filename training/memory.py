"""What a process that simulates or measures many cases asks of the C library.

A case takes and frees the same few hundred megabytes many times over; getting them anew from the
system, page by page, takes a third of its time. With another C library than GNU's nothing is
changed.
"""

import ctypes
import platform

# Parameters of mallopt(3), as <malloc.h> of the GNU C library numbers them.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
NEVER = 2**31 - 1
# Arrays from here on, a few a case, come from the system and go back to it: the gaps that they
# would leave are too large to be wasted.
LARGE_BYTES = 150_000_000


def keep_freed_memory() -> None:
    """Keep what is freed for the next array of up to LARGE_BYTES, in the whole process.

    Threads get no pools of their own, which could not hold such arrays: call it before any starts.
    """
    library = _gnu_library()
    if library is not None:
        library.mallopt(M_ARENA_MAX, 1)
        library.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        library.mallopt(M_TRIM_THRESHOLD, NEVER)


def give_back_freed() -> None:
    """Give all freed memory back, between two cases.

    Their arrays have other sizes, and with the gaps between them a process would grow.
    """
    library = _gnu_library()
    if library is not None:
        library.malloc_trim(0)


def _gnu_library() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
