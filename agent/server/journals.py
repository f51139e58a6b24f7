"""The journals that agents ship, a file for each (job, lease): `DATA/journals/<job>-<lease>`.

Bytes are appended at the offset that they claim. Bytes that are there already must be the same ones; a gap and other
bytes at a known place are refused. What was synced survives a power cut; what was only appended may be torn then, and
is cut off at the last whole record before the agent is told where to go on.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from agent.errors import AgentError, DamagedError
from agent.journal.format import Record, decode

_READ_BYTES = (1 << 20) + (64 << 10)  # one record of the largest kind is always whole in it


class Journals:
    """The journals of all jobs. All calls block for as long as the disk does: `asyncio.to_thread`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def size(self, job: str, lease: int) -> int:
        """How many bytes are here."""
        try:
            return self._file(job, lease).stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, job: str, lease: int, offset: int, data: bytes) -> int:
        """Add `data` at `offset`: the new size. Repeated bytes change nothing.

        Raises DamagedError when the bytes would leave a gap or differ from those that are here, AgentError when the
        disk takes no more.
        """
        try:
            return self._append(self._file(job, lease), offset, data)
        except OSError as error:
            raise AgentError(
                f"a journal can't be stored: {error.strerror}", where=f"job {job}", hint="is the disk full?"
            ) from error

    def sync(self, job: str, lease: int) -> int:
        """Make everything durable that is here: how many bytes that is."""
        try:
            descriptor = os.open(self._file(job, lease), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return 0
        try:
            size = os.fstat(descriptor).st_size
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._sync_folder()
        return size

    def read(self, job: str, lease: int, offset: int, limit_bytes: int = _READ_BYTES) -> bytes:
        """The bytes from `offset` on, at most `limit_bytes`; none when there is no such journal."""
        try:
            with self._file(job, lease).open("rb") as file:
                file.seek(offset)
                return file.read(limit_bytes)
        except FileNotFoundError:
            return b""

    def records(self, job: str, lease: int, offset: int, end: int | None = None) -> list[tuple[int, Record]]:
        """The next whole records from `offset` on (up to `end`), each with its end; about a mebibyte of them.

        Raises DamagedError.
        """
        most = _READ_BYTES if end is None else min(_READ_BYTES, end - offset)
        return list(decode(self.read(job, lease, offset, most), offset=offset)) if most > 0 else []

    def cut_tail(self, job: str, lease: int, applied: int) -> None:
        """After a restart: cut what is torn or damaged behind `applied`, up to where records are known to be whole."""
        good = applied
        for end in self._whole_ends(job, lease, applied):
            good = end
        if self.size(job, lease) > good:
            os.truncate(self._file(job, lease), good)

    def remove(self, job: str, lease: int) -> None:
        """Forget a journal."""
        self._file(job, lease).unlink(missing_ok=True)

    def _append(self, file: Path, offset: int, data: bytes) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(file, flags, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if offset > size:
                raise DamagedError(f"journal bytes from {offset}, but only {size} are here", where=file.name)
            known = data[: size - offset]
            if known != os.pread(descriptor, len(known), offset):
                raise DamagedError("other journal bytes than before at the same place", where=file.name)
            rest = memoryview(data)[len(known) :]
            while rest:
                written = os.pwrite(descriptor, rest, size)
                rest, size = rest[written:], size + written
            return size
        finally:
            os.close(descriptor)

    def _whole_ends(self, job: str, lease: int, offset: int) -> Iterator[int]:
        while True:
            start = offset
            try:
                for end, _ in decode(self.read(job, lease, offset), offset=offset):
                    offset = end
                    yield end
            except DamagedError:
                return
            if offset == start:
                return

    def _file(self, job: str, lease: int) -> Path:
        return self._folder / f"{job}-{lease}"

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
