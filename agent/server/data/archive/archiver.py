"""The archiver: one loop that brings the journals of jobs that are over into the blob store.

    claim (move `due_at`)  ->  archive into a blob of its own key  ->  row: stored  ->  remove the journal  ->  row: done

It can end at any instant: whoever finds the row due again goes on from the row's state, and a blob that no row names
is swept by retention. Several servers may work side by side; a row is whoever's moved its `due_at`.
"""

import logging
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

from agent.errors import AgentError, DamagedError
from agent.journal.format import whole_length
from agent.server.data.archive.format import Packer
from agent.server.data.blobs.store import BlobStore
from agent.server.data.journals import READ_BYTES, Journals
from agent.server.events.changes import Changes
from agent.server.events.live import Bus
from agent.server.store import archives
from agent.server.store.archives import ArchiveRow
from agent.server.store.outage import Outage
from agent.server.store.states import ArchiveState

log = logging.getLogger("agent.server.data.archive")

ARCHIVE = "archive"  # the topic of leases that have ended
_AT_ONCE = 20
_CLAIM_SECONDS = 600.0  # then somebody else takes over
_LONGEST_SLEEP_SECONDS = 60.0
_MOST_BYTES = 1 << 50


class Archiver:
    """Archives journals."""

    def __init__(self, changes: Changes, bus: Bus, journals: Journals, blobs: BlobStore) -> None:
        self._changes = changes
        self._bus = bus
        self._journals = journals
        self._blobs = blobs

    async def run(self) -> None:
        """Work until cancelled."""
        outage = Outage(log, "the archives of logs")
        with self._bus.listen(ARCHIVE) as listener:
            while True:
                with outage:
                    outage.seconds = await self._work()
                await listener.wait(outage.seconds)

    async def _work(self) -> float:
        """Do what is due; gives how long nothing will be."""
        now = self._changes.clock.now()
        async with self._changes.database.read() as connection:
            due = await archives.list_due(connection, now, _AT_ONCE)
        for row in due:
            try:
                await self._bring_on(row)
            except AgentError as error:
                log.warning("job %s: its log can't be archived now: %s", row.job, error)
        async with self._changes.database.read() as connection:
            next_at = await archives.next_due(connection)
        if next_at is None:
            return _LONGEST_SLEEP_SECONDS
        return min(max(next_at - self._changes.clock.now(), 0.1), _LONGEST_SLEEP_SECONDS)

    async def _bring_on(self, row: ArchiveRow) -> None:
        async with self._changes.begin() as change:
            if not await archives.claim(change.connection, row, change.now + _CLAIM_SECONDS):
                return
        if row.state is ArchiveState.WAITING:
            stored = await self._store(row)
            if stored is None:
                return
            row = stored
        await self._journals.remove(row.job, row.lease)
        async with self._changes.begin() as change:
            await archives.finish(change.connection, row, ArchiveState.DONE)

    async def _store(self, row: ArchiveRow) -> ArchiveRow | None:
        """Make the archive; None when there is nothing to archive, or when somebody else has done it meanwhile."""
        key = f"logs/{row.job}-{row.lease}/{secrets.token_hex(4)}"
        packer = Packer()
        try:
            written = await self._blobs.write(key, self._pack(packer, row), limit_bytes=_MOST_BYTES)
        except DamagedError as error:
            log.warning("job %s: its journal stays as it is: %s", row.job, error)
            await self._keep(row)
            return None
        if packer.journal_bytes == 0:
            await self._blobs.remove(key)
            await self._keep(row)
            return None
        stored = replace(
            row,
            state=ArchiveState.STORED,
            blob=key,
            size_bytes=written.size_bytes,
            journal_bytes=packer.journal_bytes,
        )
        async with self._changes.begin() as change:
            if await archives.store(change.connection, row, stored):
                return stored
        await self._blobs.remove(key)
        return None

    async def _keep(self, row: ArchiveRow) -> None:
        async with self._changes.begin() as change:
            await archives.finish(change.connection, row, ArchiveState.KEPT)

    async def _pack(self, packer: Packer, row: ArchiveRow) -> AsyncIterator[bytes]:
        offset = 0
        while data := await self._journals.read(row.job, row.lease, offset, READ_BYTES):
            whole = whole_length(data, offset=offset)
            if whole == 0:
                break  # a torn tail: nobody has ever been told of it
            for piece in packer.feed(data[:whole]):
                yield piece
            offset += whole
        for piece in packer.finish():
            yield piece
