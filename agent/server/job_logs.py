"""The logs of jobs, wherever they are: in a journal while the job runs, in an archive afterwards."""

from collections.abc import AsyncIterator
from functools import partial

from agent.errors import DamagedError
from agent.journal.format import Record
from agent.server.archive.lines import Cut, Tail, text_of
from agent.server.archive.reader import ArchiveReader
from agent.server.blobs.store import BlobStore
from agent.server.journals import Journals, read_records
from agent.server.store import archives
from agent.server.store.database import Database

Found = list[tuple[int, Record]]


class JobLogs:
    """Reads logs."""

    def __init__(self, database: Database, journals: Journals, blobs: BlobStore) -> None:
        self._database = database
        self._journals = journals
        self._blobs = blobs

    async def records(self, job: str, lease: int, offset: int) -> Found:
        """The next whole records behind `offset`; none when there are no more yet."""
        if lease == 0:
            return []
        try:
            if found := await read_records(self._journals, job, lease, offset):
                return found
            archive = await self._archive(job, lease)
            if archive is not None:
                async for found in archive.frames_from(offset):
                    return found
        except DamagedError:
            pass  # the ledger has said so in the job's message; what is whole has been shown
        return []

    async def text(
        self, job: str, lease: int, *, first: int = 1, count: int | None = None, step: int | None = None
    ) -> AsyncIterator[bytes]:
        """The output from line `first` on, at most `count` lines, of one `step` or of all."""
        cut = Cut(first, count)
        archive = await self._archive(job, lease) if first > 1 else None
        if archive is not None:
            is_first = True
            async for ended, found in archive.frames_from_line(first, step):
                if is_first:
                    cut.skip(ended)
                    is_first = False
                yield cut.take(text_of(found, step))
                if cut.is_done:
                    return
            return
        offset = 0
        while not cut.is_done and (found := await self.records(job, lease, offset)):
            offset = found[-1][0]
            yield cut.take(text_of(found, step))

    async def tail(self, job: str, lease: int, count: int, step: int | None = None) -> bytes:
        """The last `count` lines."""
        tail = Tail(count)
        archive = await self._archive(job, lease)
        if archive is not None:
            async for found in archive.frames_backwards():
                tail.prepend(text_of(found, step))
                if tail.is_full:
                    break
            return tail.read()
        offset = 0
        while found := await self.records(job, lease, offset):
            offset = found[-1][0]
            tail.append(text_of(found, step))
        return tail.read()

    async def _archive(self, job: str, lease: int) -> ArchiveReader | None:
        async with self._database.read() as connection:
            row = await archives.find_archive(connection, job, lease)
        if row is None or row.state not in ("stored", "done"):
            return None
        return ArchiveReader(partial(self._fetch, row.blob), row.size_bytes)

    async def _fetch(self, key: str, start: int, end: int) -> bytes:
        return b"".join([chunk async for chunk in self._blobs.read(key, start, end)])
