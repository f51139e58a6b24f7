"""A small file system of one's own (tmpfs), which can be filled to its last byte and relieved again."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_PIECES = (1 << 20, 4096, 1)  # the last one to have every byte
_FILLER = ".filler"


class SmallDisk:
    """The file system that is mounted at `folder`."""

    def __init__(self, folder: Path) -> None:
        self._filler = folder / _FILLER

    def fill(self) -> None:
        """Leave no room."""
        with self._filler.open("ab", buffering=0) as out:
            for size in _PIECES:
                try:
                    while out.write(b"\0" * size) == size:
                        pass
                except OSError:  # no room for a piece of this size
                    continue

    def relieve(self) -> None:
        """Give the room back."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """Mount a file system of `size_bytes` at `folder`, which is made."""
    folder.mkdir()
    options = f"size={size_bytes},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small", folder], check=True)
    try:
        yield SmallDisk(folder)
    finally:
        # Lazily: a process that the test has killed may be a moment from its end.
        subprocess.run(["umount", "--lazy", folder], check=True)


@cache
def why_no_small_disks() -> str:
    """Why this process can't mount one; empty when it can."""
    if os.geteuid() != 0:
        return "only root may mount a small file system to fill"
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder) / "disk", 1 << 20):
                return ""
        except (OSError, subprocess.CalledProcessError) as error:
            return f"a small file system can't be mounted here: {error}"
