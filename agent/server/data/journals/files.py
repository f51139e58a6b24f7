"""Journals as files, `DATA/journals/<job>-<lease>`: what the embedded server keeps them in.

What was only appended may be torn after a power cut; it is cut off at the last whole record before the agent is told
where to go on.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.errors import AgentError, DamagedError
from agent.journal.format import decode
from agent.server.data.journals import READ_BYTES, Key
from agent.server.pools import FILES, Pool


class FileJournals:
    """The journals in one folder."""

    def __init__(self, folder: Path, threads: Pool | None = None) -> None:
        self._folder = folder
        self._threads = threads or Pool(FILES)
        # Names of files that the folder may not have durably: made here, or (None is among them) by an earlier process.
        self._unrooted: set[str | None] = {None}

    async def append(self, job: str, lease: int, offset: int, data: bytes) -> None:
        """See `Journals.append`."""
        await self._threads.run(self._append, job, lease, offset, data)

    async def sync(self, keys: Sequence[Key]) -> list[int]:
        """See `Journals.sync`."""
        return await self._threads.run(self._sync, keys)

    async def read(self, job: str, lease: int, offset: int, limit_bytes: int = READ_BYTES) -> bytes:
        """See `Journals.read`."""
        return await self._threads.run(self._read, self._file(job, lease), offset, limit_bytes)

    async def cut_tail(self, job: str, lease: int, applied: int) -> None:
        """See `Journals.cut_tail`."""
        await self._threads.run(self._cut_tail, self._file(job, lease), applied)

    async def remove(self, job: str, lease: int) -> None:
        """See `Journals.remove`."""
        self._unrooted.discard(self._file(job, lease).name)
        await self._threads.run(self._file(job, lease).unlink, missing_ok=True)

    def _append(self, job: str, lease: int, offset: int, data: bytes) -> None:
        try:
            self._write(self._file(job, lease), offset, data)
        except OSError as error:
            raise AgentError(
                f"a journal can't be stored: {error.strerror}", where=f"job {job}", hint="is the disk full?"
            ) from error

    def _write(self, file: Path, offset: int, data: bytes) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(file, flags, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size == 0:
                self._unrooted.add(file.name)
            if offset > size:
                raise DamagedError(f"journal bytes from {offset}, but only {size} are here", where=file.name)
            known = data[: size - offset]
            if known != os.pread(descriptor, len(known), offset):
                raise DamagedError("other journal bytes than before at the same place", where=file.name)
            rest = memoryview(data)[len(known) :]
            while rest:
                written = os.pwrite(descriptor, rest, size)
                rest, size = rest[written:], size + written
        finally:
            os.close(descriptor)

    def _sync(self, keys: Sequence[Key]) -> list[int]:
        files = [self._file(*key) for key in keys]
        sizes = [_sync_file(file) for file in files]
        unrooted = self._unrooted.intersection([None, *(file.name for file in files)])
        if any(sizes) and unrooted:
            _sync_folder(self._folder)
            self._unrooted.difference_update(unrooted)
        return sizes

    def _read(self, file: Path, offset: int, limit_bytes: int) -> bytes:
        try:
            with file.open("rb") as opened:
                opened.seek(offset)
                return opened.read(limit_bytes)
        except FileNotFoundError:
            return b""

    def _cut_tail(self, file: Path, applied: int) -> None:
        good = applied
        for end in self._whole_ends(file, applied):
            good = end
        if file.exists() and file.stat().st_size > good:
            os.truncate(file, good)

    def _whole_ends(self, file: Path, offset: int) -> Iterator[int]:
        while True:
            start = offset
            try:
                for end, _ in decode(self._read(file, offset, READ_BYTES), offset=offset):
                    offset = end
                    yield end
            except DamagedError:
                return
            if offset == start:
                return

    def _file(self, job: str, lease: int) -> Path:
        return self._folder / f"{job}-{lease}"


def _sync_file(file: Path) -> int:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        size = os.fstat(descriptor).st_size
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return size


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
