"""A long event on its way into a job's folder: part by part into `event.part`, which becomes `event.json` when it is whole.

What has come stays over the daemon's end and the connection's: the next part is asked for where the file ends. A part that was
torn comes once more. The digest is looked at when all is there: what is wrong then is thrown away.
"""

import contextlib
import os
import zlib
from pathlib import Path

from agent.errors import DamagedError
from agent.job.folder.attempt import JobFolder
from agent.plain_files import open_plain, read_plain
from agent.spec.event_apart import EventApart, find_digest


class EventFile:
    """The event of one job, as it comes."""

    def __init__(self, folder: JobFolder, apart: EventApart, part_bytes: int) -> None:
        """All parts but the last have `part_bytes` of text."""
        self._file = folder.event
        self._coming = folder.event.with_name("event.part")
        self._apart = apart
        self._part_bytes = part_bytes

    def find_offset(self) -> int | None:
        """Where the next part begins; None: the event is here. Raises OSError."""
        if os.path.lexists(self._file):
            return None
        try:
            size = self._coming.stat().st_size
        except FileNotFoundError:
            return 0
        return min(size, self._apart.size_bytes - 1) // self._part_bytes * self._part_bytes

    def add(self, offset: int, data: bytes) -> None:
        """Write the part that begins at `offset`, unless all is here. Raises DamagedError for what is none; OSError."""
        if os.path.lexists(self._file):
            return
        size = min(self._part_bytes, self._apart.size_bytes - offset)
        text = _unpack(data, size)
        self._write(offset, text)
        if offset + size == self._apart.size_bytes:
            self._finish()

    def copy(self, other: Path) -> bool:
        """Take the event from another job's folder, where it is the same and whole. Raises OSError."""
        with contextlib.suppress(FileNotFoundError, DamagedError):
            text = read_plain(other, self._apart.size_bytes)
            if find_digest(text) == self._apart.digest:
                self._write(0, text)
                self._finish()
                return True
        return False

    def _write(self, offset: int, text: bytes) -> None:
        with os.fdopen(open_plain(self._coming, os.O_WRONLY | os.O_CREAT), "wb") as stream:
            stream.truncate(offset)
            stream.seek(offset)
            stream.write(text)

    def _finish(self) -> None:
        file = open_plain(self._coming, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
        if find_digest(read_plain(self._coming, self._apart.size_bytes)) != self._apart.digest:
            self._coming.unlink()
            raise DamagedError("the run's event did not come as the server has it", where=str(self._file))
        self._coming.rename(self._file)


def _unpack(data: bytes, size: int) -> bytes:
    """The text of a part that has `size` bytes of it, and no bomb's. Raises DamagedError."""
    try:
        text = zlib.decompressobj().decompress(data, size + 1)
    except zlib.error:
        text = b""
    if len(text) != size:
        raise DamagedError("a part of the run's event is not what was asked for")
    return text
