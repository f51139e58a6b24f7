"""Full disks, found where an error does not name them: a write's has no name of a file (write(2))."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_LITTLE_BYTES = 64 << 10


def is_full(error: OSError) -> bool:
    """Whether the error says that there is no room, on the disk or for this user."""
    return error.errno in _NO_ROOM


def name_place(error: OSError, places: Iterable[Path]) -> str:
    """The place that `error` is about: the file that it names; of a full disk else the first of `places` without room. Empty if unknown."""
    if error.filename is not None:
        return os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
    return next((str(place) for place in places if _has_no_room(place)), "") if is_full(error) else ""


def _has_no_room(place: Path) -> bool:
    try:
        found = os.statvfs(next(folder for folder in (place, *place.absolute().parents) if folder.exists()))
    except OSError:
        return False
    has_no_files_left = found.f_files > 0 and found.f_favail == 0  # some file systems don't count them
    return found.f_bavail * found.f_frsize < _LITTLE_BYTES or has_no_files_left
