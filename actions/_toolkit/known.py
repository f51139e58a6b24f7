"""What the files of this job are made of, so that those which have not changed are not read again.

A file is taken for unchanged when its device, inode, length, time of change and time of its inode's change are as they were when it was
read. None but the kernel sets the last of these, so that a program which puts back the other is found out. What was changed
within the tick of the clock in which it was read could be changed again without a trace: of such a file nothing is noted (git's
rule for its index). Not seen is who writes through a mapping that it has held since before (`mmap`), until the kernel
has written that out: some seconds.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from _toolkit.manifest import Chunk
from _toolkit.trees import Entry

_FILE = "_flow_agent_chunks.json"


class Known:
    """The notes of one job, in its folder for temporary files; without one nothing is known, and nothing noted."""

    def __init__(self, folder: str) -> None:
        self._file = Path(folder, _FILE) if folder else None
        self._chunks: dict[str, list[Chunk]] = {}
        self._used: dict[str, list[Chunk]] = {}
        self._began = (0, 0)  # device, and its time
        if self._file is not None:
            with contextlib.suppress(OSError, ValueError):
                self._chunks = json.loads(self._file.read_text(encoding="ascii"))
            with contextlib.suppress(OSError):
                self._began = _ask_time(self._file.parent)

    def find(self, entries: Iterable[Entry]) -> list[Chunk] | None:
        """What these files, one after the other, are made of; None: they must be read."""
        key = _key(entries)
        found = self._chunks.get(key)
        if found is not None:
            self._used[key] = found
        return found

    def note(self, entries: Iterable[Entry], chunks: list[Chunk]) -> None:
        """The files were read, and are made of these, unless they are too new."""
        entries = list(entries)
        device, began = self._began
        if all(entry.mark[0] == device and entry.mark[2] < began for entry in entries):
            self._used[_key(entries)] = chunks

    def save(self) -> None:
        """Write the notes down, those also that this upload had no use for."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            handle, new = tempfile.mkstemp(dir=self._file.parent)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                json.dump({**self._chunks, **self._used}, file)
            Path(new).replace(self._file)


def _ask_time(folder: Path) -> tuple[int, int]:
    """The device that the folder is on, and what its clock says: not before anything that was changed there."""
    handle, name = tempfile.mkstemp(dir=folder)
    try:
        facts = os.fstat(handle)
    finally:
        os.close(handle)
        os.unlink(name)  # noqa: PTH108  (a name is text)
    return facts.st_dev, facts.st_ctime_ns


def _key(entries: Iterable[Entry]) -> str:
    said = [(*entry.mark, entry.size, entry.changed_ns) for entry in entries]
    return hashlib.sha256(repr(said).encode()).hexdigest()
