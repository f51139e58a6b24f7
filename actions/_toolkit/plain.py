"""Files that are files."""

import os
import stat
from pathlib import Path
from typing import IO

from _toolkit.step import StepError


def open_regular(path: Path) -> IO[bytes]:
    """Open a file that is a file: a link, a pipe or a device that took its place is refused, and not waited for."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    file = os.fdopen(handle, "rb")
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        file.close()
        raise StepError(f"'{path}' is not a regular file")
    return file
