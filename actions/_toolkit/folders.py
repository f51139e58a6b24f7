"""New files are made beside their place and moved there when all are whole."""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from _toolkit.step import StepError


@contextlib.contextmanager
def temporary_folder(near: Path) -> Iterator[Path]:
    """A folder on the file system that `near` is or will be on; gone at the end."""
    parent = near
    while not parent.is_dir():
        parent = parent.parent
    folder = Path(tempfile.mkdtemp(prefix=".flow-agent-", dir=parent))
    try:
        yield folder
    finally:
        _remove(folder)


def move_into(source: Path, target: Path) -> None:
    """Move all that is in `source` into the folder `target`, over files of the same name, through no link."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise StepError(f"'{target}' is in the way: it is not a folder")
    target.mkdir(parents=True, exist_ok=True)
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        place = target / entry.name
        if entry.is_dir(follow_symlinks=False) and os.path.lexists(place):
            move_into(Path(entry.path), place)
        elif place.is_dir() and not place.is_symlink():
            raise StepError(f"'{place}' is in the way: it is a folder")
        else:
            Path(entry.path).replace(place)


def empty(folder: Path, keep: Path) -> None:
    """Remove all that is in `folder` but `keep`."""
    for entry in os.scandir(folder):
        if Path(entry.path) == keep:
            continue
        if entry.is_dir(follow_symlinks=False):
            _remove(Path(entry.path))
        else:
            os.unlink(entry.path)  # noqa: PTH108  (an entry's path is text)


def _remove(folder: Path) -> None:
    """Python's own removal recurses, and a job may nest a thousand folders."""
    done = subprocess.run(
        ["rm", "-rf", "--", str(folder)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        raise StepError(f"'{folder}' can't be removed: {done.stderr.strip().splitlines()[-1]}")
