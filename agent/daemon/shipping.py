"""Ships what the journals hold beyond what the server has, fairly over all jobs, within the window.

The journal files are the queue: nothing is kept in memory, whether the server is away for a second or a week, and no job
ever waits. After a reconnect each journal goes on from the offset that the server names.
"""

import asyncio

from agent.daemon.connection import Connection
from agent.daemon.jobs import Job, JobState, JobTable, wait_for_event
from agent.journal.file import read_from, size
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

    async def _ship_chunk(self, job: Job, connection: Connection) -> bool:
        """Send the next bytes of one journal, if there are any and may be sent."""
        protocol = connection.protocol
        offset = protocol.next_offset(*job.key)
        if offset is None or job.state is JobState.LEAVING:
            return False
        new_bytes = size(job.folder.journal) - offset
        most_bytes = min(new_bytes, protocol.room_bytes, MAX_CHUNK_BYTES)
        if most_bytes <= 0:
            return False
        data = await _read(job, offset, most_bytes, is_fresh=new_bytes <= _FRESH_BYTES)
        if not data or protocol.next_offset(*job.key) != offset:  # released or revoked in the meantime
            return False
        protocol.ship(*job.key, offset, data)
        await connection.flush()
        return True


async def _read(job: Job, offset: int, most_bytes: int, *, is_fresh: bool) -> bytes:
    if is_fresh:
        return read_from(job.folder.journal, offset, most_bytes)
    return await asyncio.to_thread(read_from, job.folder.journal, offset, most_bytes)
