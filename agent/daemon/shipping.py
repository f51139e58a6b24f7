"""Ships what the journals hold beyond what the server has, fairly over all jobs, within the window.

The journal files are the queue: nothing is kept in memory, whether the server is away for a second or a week, and no job
ever waits. After a reconnect each journal goes on from the offset that the server names.
"""

import asyncio

from agent.daemon.connection import Connection
from agent.daemon.jobs import Job, JobState, JobTable, wait_for_event
from agent.journal.file import read_from, size
from agent.wire.codec import MAX_CHUNK_BYTES

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
        if offset is None or job.state is JobState.LEAVING or size(job.folder.journal) <= offset:
            return False
        most_bytes = min(protocol.room_bytes, MAX_CHUNK_BYTES)
        if most_bytes == 0:
            return False
        data = await asyncio.to_thread(read_from, job.folder.journal, offset, most_bytes)
        if not data or protocol.next_offset(*job.key) != offset:  # released or revoked in the meantime
            return False
        protocol.ship(*job.key, offset, data)
        await connection.flush()
        return True
