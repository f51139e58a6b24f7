"""Ships what the journals hold beyond what the server has, fairly over all jobs, within the window.

The journal files are the queue: nothing is kept in memory, whether the server is away for a second or a week, and no job
ever waits. After a reconnect each journal goes on from the offset that the server names.
"""

import asyncio

from agent.daemon.connection import Connection
from agent.daemon.enforcing import wait_for_event
from agent.daemon.job import DaemonJob, DaemonJobState
from agent.daemon.jobs import JobTable
from agent.errors import DamagedError, SpoiledError
from agent.journal.format import whole_length
from agent.wire.codec import MAX_CHUNK_BYTES

_FRESH_BYTES = (
    64 << 10
)  # what was written a moment ago is in memory: a thread would cost more than reading it
_POLL_SECONDS = 0.05  # how soon a running job's new output is seen; nothing is polled while none runs


class Shipper:
    """Ships the journals of all jobs over one connection at a time."""

    def __init__(self, jobs: JobTable) -> None:
        self._jobs = jobs

    async def run(self, connection: Connection) -> None:
        """Ship until cancelled."""
        while True:
            self._jobs.growth.clear()
            # A list, not a generator: every job gets its turn in each round.
            if not any([await self._ship_chunk(job, connection) for job in self._jobs]):
                await wait_for_event(self._jobs.growth, _POLL_SECONDS if self._jobs.has_living else None)

    async def _ship_chunk(self, job: DaemonJob, connection: Connection) -> bool:
        """Send the next bytes of one journal, if there are any and may be sent."""
        protocol = connection.protocol
        offset = protocol.next_offset(*job.key)
        if offset is None or job.spoil or job.state is DaemonJobState.LEAVING:
            return False
        try:
            data = await _read_new(job, offset, min(protocol.room_bytes, MAX_CHUNK_BYTES))
        except DamagedError as error:
            self._jobs.note_spoil(job, error)
            return False
        if not data or protocol.next_offset(*job.key) != offset:  # released or revoked in the meantime
            return False
        protocol.ship(*job.key, offset, data)
        await connection.flush()
        return True


async def _read_new(job: DaemonJob, offset: int, room_bytes: int) -> bytes:
    """The next bytes from `offset`. Raises SpoiledError when the journal is not the file that it was."""
    if room_bytes <= 0:
        return b""
    if job.last_word is not None:
        return job.last_word.read(offset, room_bytes)
    new_bytes = job.journal.size() - offset
    if new_bytes < 0:
        raise SpoiledError("'journal' has less than the server has of it", where=str(job.folder.journal))
    most_bytes = min(new_bytes, room_bytes)
    if most_bytes == 0:
        return b""
    if new_bytes <= _FRESH_BYTES:
        return _cut(job.journal.read(offset, most_bytes), offset)
    return _cut(await asyncio.to_thread(job.journal.read_apart(offset, most_bytes)), offset)


def _cut(data: bytes, offset: int) -> bytes:
    """Whole records, if there are any: then the server's copy ends where another word can follow, whatever happens here."""
    try:
        return data[: whole_length(data, offset=offset)] or data
    except DamagedError:  # the server says so
        return data
