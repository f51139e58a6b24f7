"""What the files of this job are made of, so that those which have not changed are not read again, and of the others only what has is hashed.

A file is taken for unchanged when its device, inode, length, time of change and time of its inode's change are as they were when it was
read. None but the kernel sets the last of these, so that a program which puts back the other is found out. What was changed
within the tick of the clock in which it was read could be changed again without a trace: of such a file nothing is noted (git's
rule for its index). Not seen is who writes through a mapping that it has held since before (`mmap`), until the kernel
has written that out: some seconds.

Of a file that has changed, or is new, the bytes are read. Where a chunk was found that is known, those that followed it then are looked for by their
fingerprints (`fingerprints.py`).
"""

import contextlib
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from _toolkit.fingerprints import KEY_BYTES, Fingerprint, open_fingerprint
from _toolkit.trees import Entry

_FILE = "_flow_agent_chunks.json"
_VERSION = 2


class Noted(NamedTuple):
    """A chunk: its SHA-256 in hex, its length, and its fingerprint (empty: none was taken)."""

    digest: str
    size: int
    fingerprint: str = ""


class Known:
    """The notes of one job, in its folder for temporary files; without one nothing is known, and nothing noted."""

    def __init__(self, folder: str) -> None:
        self._file = Path(folder, _FILE) if folder else None
        self._key = secrets.token_bytes(KEY_BYTES)
        self._files: dict[
            str, tuple[str, list[Noted]]
        ] = {}  # by where they are: how they were, and their chunks
        self._places: dict[str, tuple[list[Noted], int]] | None = None
        self._began = (0, 0)  # device, and its time
        self.fingerprint: Fingerprint | None = None
        if self._file is not None:
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                self._read(json.loads(self._file.read_text(encoding="ascii")))
            with contextlib.suppress(OSError):
                self._began = _ask_time(self._file.parent)

    def begin_fingerprints(self) -> None:
        """From now on chunks have fingerprints, where these can be had: `fingerprint` gives that of bytes."""
        if self._file is not None:
            self.fingerprint = open_fingerprint(self._key)

    @property
    def can_follow(self) -> bool:
        """Whether chunks could be found by their fingerprints."""
        return self.fingerprint is not None and bool(self._files)

    def find(self, entries: Sequence[Entry]) -> list[Noted] | None:
        """What these files, one after the other, are made of; None: they must be read."""
        how, chunks = self._files.get(_where(entries), ("", []))
        return chunks if how == _describe(entries) else None

    def follow(self, digest: str) -> Sequence[Noted]:
        """What came behind this chunk when it was last seen; empty: it is not known."""
        if self._places is None:
            self._places = {}
            for _, chunks in self._files.values():
                for index, chunk in enumerate(chunks):
                    self._places.setdefault(chunk.digest, (chunks, index))
        chunks, index = self._places.get(digest, ([], 0))
        return chunks[index + 1 :]

    def note(self, entries: Sequence[Entry], chunks: list[Noted]) -> None:
        """The files were read, and are made of these; they are recognised by it unless they are too new."""
        device, began = self._began
        is_settled = all(entry.mark[0] == device and entry.mark[2] < began for entry in entries)
        self._files[_where(entries)] = (_describe(entries) if is_settled else "", chunks)

    def save(self) -> None:
        """Write the notes down, those also that this upload had no use for."""
        if self._file is None:
            return
        said = {"version": _VERSION, "key": self._key.hex(), "files": self._files}
        with contextlib.suppress(OSError):
            handle, new = tempfile.mkstemp(dir=self._file.parent)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                json.dump(said, file)
            Path(new).replace(self._file)

    def _read(self, said: Any) -> None:
        if said["version"] != _VERSION:
            return
        key = bytes.fromhex(said["key"])
        files = {
            where: (str(how), [Noted(*chunk) for chunk in chunks])
            for where, (how, chunks) in said["files"].items()
        }
        self._key, self._files = key, files


def _ask_time(folder: Path) -> tuple[int, int]:
    """The device that the folder is on, and what its clock says: not before anything that was changed there."""
    handle, name = tempfile.mkstemp(dir=folder)
    try:
        facts = os.fstat(handle)
    finally:
        os.close(handle)
        os.unlink(name)  # noqa: PTH108  (a name is text)
    return facts.st_dev, facts.st_ctime_ns


def _where(entries: Sequence[Entry]) -> str:
    return f"{entries[0].source}"


def _describe(entries: Sequence[Entry]) -> str:
    """How the files are; another one when any of them has changed."""
    said = [(*entry.mark, entry.size, entry.changed_ns) for entry in entries]
    return hashlib.sha256(repr(said).encode()).hexdigest()
