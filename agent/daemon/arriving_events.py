"""Long events, brought from the server into the folders of the jobs that wait for them: one after the other, part by part.

What a job of the same event has here already is copied. A connection that breaks ends it; the next one's first `ack` begins it
anew, from what has come.
"""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

from agent.daemon.connection import Connection
from agent.daemon.job import DaemonJob
from agent.daemon.jobs import JobTable
from agent.errors import AgentError, DamagedError
from agent.job.folder.event_file import EventFile
from agent.wire import messages as m

Start = Callable[[str, int, str], object]


class ArrivingEvents:
    """The events of the jobs on this machine."""

    def __init__(self, jobs: JobTable) -> None:
        self._jobs = jobs
        self._disk = threading.Lock()  # what was begun on an earlier connection may still be at it
        self._coming: dict[
            tuple[str, int], asyncio.Event
        ] = {}  # set when one is here, or not on its way any more

    def lacks(self, job: str, lease: int) -> bool:
        """Whether the job waits, and has an event that is not here yet."""
        held = self._jobs.find_waiting(job, lease)
        if held is None or held.event_apart is None or held.folder.event.exists():
            return False
        self._coming.setdefault(held.key, asyncio.Event())
        return True

    async def wait_for(self, job: str, lease: int) -> None:
        """Until the job's event is here and it starts, or nobody brings it now."""
        coming = self._coming.get((job, lease))
        if coming is not None:
            await coming.wait()

    async def bring(self, connection: Connection, start: Start) -> None:
        """Bring what jobs of `connection` wait for, and start them; until cancelled. One that can't be brought ends its job."""
        try:
            while True:
                key = await connection.without_event.get()
                trouble = ""
                try:
                    is_here = await self._bring_one(key, connection)
                except (AgentError, OSError) as error:
                    is_here, trouble = True, f"its event could not be brought here: {error}"
                if is_here:
                    start(*key, trouble)
                self._note_end(key)
        finally:
            for key in tuple(self._coming):
                self._note_end(key)

    def _note_end(self, key: tuple[str, int]) -> None:
        coming = self._coming.pop(key, None)
        if coming is not None:
            coming.set()

    async def _bring_one(self, key: tuple[str, int], connection: Connection) -> bool:
        """Whether the event is here now; False when the job isn't ours any more. Raises AgentError, OSError."""
        held = self._jobs.find_waiting(*key)
        if held is None or held.event_apart is None:
            return False
        file = EventFile(held.folder, held.event_apart, m.EVENT_PART_BYTES)
        others = [
            path for path in self._jobs.list_events(held.event_apart.digest) if path != held.folder.event
        ]
        offset = await asyncio.to_thread(self._find_offset, file, others)
        is_resumed = bool(offset)
        while offset is not None:
            part = await self._ask(held, offset, connection)
            if part is None:
                return False
            try:
                offset = await asyncio.to_thread(self._add, file, part)
            except DamagedError:
                if not is_resumed:
                    raise
                offset, is_resumed = (
                    0,
                    False,
                )  # the machine has lost some of what had come: all of it once more
        return True

    async def _ask(self, held: DaemonJob, offset: int, connection: Connection) -> m.EventPart | None:
        """The part at `offset`; None when the job is taken back. Raises AgentError when the server doesn't have it."""
        if not connection.protocol.want_event(*held.key, offset):
            return None
        await connection.flush()
        while True:
            said = await connection.parts.get()
            if (said.job, said.lease) != held.key:
                continue  # of a job that was taken back
            if isinstance(said, m.Revoke):
                return None
            if not said.data:
                raise AgentError("the server doesn't have it any more")
            if said.offset == offset:
                return said

    def _find_offset(self, file: EventFile, others: list[Path]) -> int | None:
        with self._disk:
            is_here = any(file.copy(other) for other in others)
            return None if is_here else file.find_offset()

    def _add(self, file: EventFile, part: m.EventPart) -> int | None:
        with self._disk:
            file.add(part.offset, part.data)
            return file.find_offset()
