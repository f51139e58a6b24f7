"""Memory that a server keeps small: one heap for all threads, garbage that is looked for among what is new, free pages given back."""

import ctypes
import gc
from collections.abc import Callable
from typing import Any, Final

_ARENA_MAX: Final = -8  # M_ARENA_MAX of malloc.h
_ARENAS: Final = 1
_OLDEST: Final = 2  # Python's last generation
_THRESHOLDS: Final = (700, 10, 2)


def keep_memory_small() -> None:
    """Have all threads use one heap.

    Left alone, glibc has one for each thread of a pool, and each keeps what it once had for a transfer. Python's lock lets few of them allocate at a time anyway.
    Another C library does as it does.
    """
    set_option = _of_library("mallopt")
    if set_option is not None:
        set_option(_ARENA_MAX, _ARENAS)


def settle_memory() -> None:
    """Called once the server has started: what is there stays, and is not looked through for garbage any more.

    Python looks through all objects when a quarter of them are new. Of a server's half a million modules, classes and functions that
    were over a hundred thousand: what requests leave behind in cycles would stay for as long, some 15 MB of it. Of the few that
    are new it can be done often. What is free then in the heap between things that stay is the system's again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    trim = _of_library("malloc_trim")
    if trim is not None:
        gc.callbacks.append(lambda phase, info: _trim(trim, phase, info))


def _trim(trim: Callable[[int], int], phase: str, info: dict[str, Any]) -> None:
    if phase == "stop" and info["generation"] == _OLDEST:
        trim(0)


def _of_library(name: str) -> Any:
    """A function of the C library, None where it has none of the name."""
    return getattr(ctypes.CDLL(None), name, None)
