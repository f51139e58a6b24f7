"""Journals in the database: what several servers keep them in, so that an agent may go on at any of them.

Appended bytes wait in memory, within the window that their agent was granted, until `sync` puts them into rows: all
that came meanwhile in one transaction. What another server has stored of the same journal since is met there again and
must be the same. A row is there whole or not at all, so nothing is ever torn.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.errors import DamagedError
from agent.server.data.journals import READ_BYTES, Key
from agent.server.events.live import Bus, job_topic
from agent.server.store import journal_chunks
from agent.server.store.database import Connection, Database

_MOST_CHUNK_BYTES = 256 << 10
_MOST_TAILS = 10_000


@dataclass(slots=True)
class _Tail:
    """What is known here of a journal's end: how many bytes are stored, and those that are not yet."""

    stored: int
    waiting: bytearray = field(default_factory=bytearray)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def end(self) -> int:
        """Where the next bytes belong."""
        return self.stored + len(self.waiting)


class TableJournals:
    """The journals in the tables of `agent.server.store.journal_chunks`."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._tails: OrderedDict[Key, _Tail] = OrderedDict()

    async def append(self, job: str, lease: int, offset: int, data: bytes) -> None:
        """See `Journals.append`."""
        tail = self._tail((job, lease))
        async with tail.lock:
            if offset > tail.end and not tail.waiting:
                tail.stored = await self._find_size((job, lease))  # another server may have stored more
            if offset > tail.end:
                raise DamagedError(
                    f"journal bytes from {offset}, but only {tail.end} are here", where=f"job {job}"
                )
            known = data[: tail.end - offset]
            if known and known != await self._known(tail, job, lease, offset, len(known)):
                raise DamagedError("other journal bytes than before at the same place", where=f"job {job}")
            tail.waiting += data[len(known) :]

    async def sync(self, keys: Sequence[Key]) -> list[int]:
        """See `Journals.sync`."""
        full = sorted({key for key in keys if key in self._tails and self._tails[key].waiting})
        if full:
            await self._store(
                [(key, self._tails[key].stored, bytes(self._tails[key].waiting)) for key in full]
            )
        return [self._tails[key].stored if key in full else await self._find_size(key) for key in keys]

    async def read(self, job: str, lease: int, offset: int, limit_bytes: int = READ_BYTES) -> bytes:
        """See `Journals.read`."""
        async with self._database.read() as connection:
            return await journal_chunks.read_bytes(connection, job, lease, offset, limit_bytes)

    async def cut_tail(self, job: str, lease: int, applied: int) -> None:
        """Nothing is torn here."""

    async def remove(self, job: str, lease: int) -> None:
        """See `Journals.remove`."""
        self._tails.pop((job, lease), None)
        async with self._database.write() as connection:
            await journal_chunks.remove_journal(connection, job, lease)

    async def _store(self, batch: Sequence[tuple[Key, int, bytes]]) -> None:
        """Bring what waits into rows; viewers everywhere hear of it with the commit."""
        try:
            async with self._database.write() as connection:
                for (job, lease), start, data in batch:
                    await _add(connection, job, lease, start, data)
                await self._bus.announce(connection, {job_topic(job) for (job, _), _, _ in batch})
        except DamagedError:
            for key, _, _ in batch:
                self._tails.pop(key, None)  # whatever comes next begins with what is stored
            raise
        for key, start, data in batch:
            tail = self._tails[key]
            stored = max(tail.stored, start + len(data))
            del tail.waiting[: stored - tail.stored]
            tail.stored = stored

    async def _known(self, tail: _Tail, job: str, lease: int, offset: int, length: int) -> bytes:
        """Bytes that were taken already: stored ones, then waiting ones."""
        begin, end = (max(0, place - tail.stored) for place in (offset, offset + length))
        waiting = bytes(tail.waiting[begin:end])
        if len(waiting) == length:
            return waiting
        return await self.read(job, lease, offset, length - len(waiting)) + waiting

    async def _find_size(self, key: Key) -> int:
        async with self._database.read() as connection:
            return await journal_chunks.find_size(connection, *key)

    def _tail(self, key: Key) -> _Tail:
        tail = self._tails.setdefault(key, _Tail(0))
        self._tails.move_to_end(key)
        if len(self._tails) > _MOST_TAILS:
            oldest = next(iter(self._tails))
            if not self._tails[oldest].waiting and not self._tails[oldest].lock.locked():
                del self._tails[oldest]
        return tail


async def _add(connection: Connection, job: str, lease: int, start: int, data: bytes) -> None:
    """Store `data` from `start` on, but for what is there already; that must be the same."""
    size = await journal_chunks.lock_journal(connection, job, lease)
    if start > size:
        raise DamagedError(f"journal bytes from {start}, but only {size} are stored", where=f"job {job}")
    known = data[: size - start]
    if known and known != await journal_chunks.read_bytes(connection, job, lease, start, len(known)):
        raise DamagedError("other journal bytes than another server has stored", where=f"job {job}")
    for offset in range(len(known), len(data), _MOST_CHUNK_BYTES):
        chunk = data[offset : offset + _MOST_CHUNK_BYTES]
        await journal_chunks.add_chunk(connection, job, lease, start + offset, chunk)
