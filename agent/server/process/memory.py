"""Memory that threads share, so that what one had for a transfer is there for the next: glibc's allocator, told so."""

import ctypes
from typing import Final

_ARENA_MAX: Final = -8  # M_ARENA_MAX of malloc.h
_ARENAS: Final = 1


def keep_memory_small() -> None:
    """Have all threads use one heap.

    Left alone, glibc has one for each thread of a pool, and each keeps what it once had for a transfer. Python's lock lets few of them allocate at a time anyway.
    Another C library does as it does.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_ARENA_MAX, _ARENAS)
