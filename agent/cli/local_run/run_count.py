"""The count of the runs that were started on this machine: each has a readable name of its own, as a server's have.

STATE/local-runs      the number of the last one, as text
"""

import fcntl
import os
from pathlib import Path

from agent.errors import SpoiledError
from agent.plain_files import open_plain

_FILE = "local-runs"
_MOST_BYTES = 20


def count_run(state: Path) -> int:
    """The number of the run that begins now, from 1. Where nothing can be kept it is 1: a name is no reason not to run."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = open_plain(state / _FILE, os.O_RDWR | os.O_CREAT)
    except (OSError, SpoiledError):
        return 1
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        text = os.pread(file, _MOST_BYTES, 0).strip()
        number = int(text) + 1 if text.isdigit() else 1
        os.pwrite(file, f"{number:<{_MOST_BYTES}}".encode(), 0)
    except OSError:
        return 1
    finally:
        os.close(file)
    return number
