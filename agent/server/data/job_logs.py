"""The logs of jobs, wherever they are: in a journal while the job runs, in an archive afterwards.

Nobody reads a log from its beginning to see its end: an archive has its index beside it, and of a journal that grows this
server knows where its lines are as far as anybody has read it here (`agent.server.data.log_index`); after a restart who comes
first reads it through once.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from agent.errors import DamagedError
from agent.journal.format import Record
from agent.server.data.archive.lines import Cut, Tail, text_of
from agent.server.data.archive.reader import ArchiveReader
from agent.server.data.blobs.store import BlobStore
from agent.server.data.journals import Journals, read_records
from agent.server.data.log_index import LogIndex, LogIndexes
from agent.server.data.record_bounds import MOST_STEPS
from agent.server.store import archives, records
from agent.server.store.database import Database
from agent.server.store.states import ArchiveState

Found = list[tuple[int, Record]]


@dataclass(frozen=True, slots=True)
class Resumption:
    """Where a viewer goes on who has seen all up to an offset: from where to read, and the ids of the steps before."""

    offset: int = 0
    step_ids: Mapping[int, str] = field(default_factory=dict)


class JobLogs:
    """Reads logs."""

    def __init__(self, database: Database, journals: Journals, blobs: BlobStore, indexes: LogIndexes) -> None:
        self._database = database
        self._journals = journals
        self._blobs = blobs
        self._indexes = indexes

    async def read(self, job: str, lease: int, offset: int) -> AsyncIterator[Found]:
        """The whole records behind `offset`, some at a time, up to what is there now."""
        if lease == 0:
            return
        try:
            while found := await read_records(self._journals, job, lease, offset):
                self._indexes.add(job, lease, offset, found)
                yield found
                offset = found[-1][0]
            archive = await self._archive(job, lease)
            if archive is not None:
                async for found in archive.frames_from(offset):
                    yield found
        except DamagedError:
            pass  # the ledger has said so in the job's message; what is whole has been shown

    async def resume(self, job: str, lease: int, offset: int) -> Resumption:
        """Where to read on for who has seen what lies before `offset`."""
        if offset == 0 or lease == 0:
            return Resumption()
        archive = await self._archive(job, lease)
        if archive is None:
            index = await self._bring_up(job, lease, offset)
            return Resumption(index.find_start(offset), dict(index.ids))
        async with self._database.read() as connection:
            steps = await records.list_steps(connection, job, lease)
        if len(steps) >= MOST_STEPS:
            return Resumption()  # there may be more of them than rows
        try:
            start = await archive.find_start(offset)
        except DamagedError:
            return Resumption()
        return Resumption(start, {step.step: step.id for step in steps})

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
        start = ended = 0
        if first > 1:
            start, ended = (await self._bring_up(job, lease)).find_line(first, step)
        cut.skip(ended)
        async for found in self.read(job, lease, start):
            yield cut.take(text_of(found, step))
            if cut.is_done:
                return

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
        start = (await self._bring_up(job, lease)).find_tail(count, step)
        async for found in self.read(job, lease, start):
            tail.append(text_of(found, step))
        return tail.read()

    async def is_gone(self, job: str, lease: int) -> bool:
        """Whether there was a log that was too old, or too much, to be kept."""
        async with self._database.read() as connection:
            row = await archives.find_archive(connection, job, lease)
        return row is not None and row.state is ArchiveState.GONE

    async def _bring_up(self, job: str, lease: int, offset: int | None = None) -> LogIndex:
        """The index of a journal, up to its end, or to `offset`."""
        index = self._indexes.find(job, lease)
        if not index.is_given_up and (offset is None or index.end < offset):
            async for _found in self.read(job, lease, index.end):
                if offset is not None and index.end >= offset:
                    break
        return index

    async def _archive(self, job: str, lease: int) -> ArchiveReader | None:
        async with self._database.read() as connection:
            row = await archives.find_archive(connection, job, lease)
        if row is None or row.state not in (ArchiveState.STORED, ArchiveState.DONE):
            return None
        return ArchiveReader(partial(self._fetch, row.blob), row.size_bytes)

    async def _fetch(self, key: str, start: int, end: int) -> bytes:
        return b"".join([chunk async for chunk in self._blobs.read(key, start, end)])
