"""Leases as the daemon holds them: what the server says about jobs, and what is done about it.

assign   the job is on the disk, then `accept`: it waits            cancel    its supervisor is asked to end it
ack      the first one: the server has noted that it is ours, and   release   the server has all of it: it goes
         it starts; nobody else is given it, whatever comes. One    revoke    it is not ours: it ends, and goes
         with an answer: its supervisor is told

The disk takes its time. So offers are taken one after the other beside all else: no word about another job waits for them.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from agent.daemon.arriving_events import ArrivingEvents
from agent.daemon.connection import Connection
from agent.daemon.jobs import JobTable
from agent.errors import AgentError
from agent.spec.job import explain_unknown
from agent.wire import messages as m

_LONGEST_REASON = 2000  # the server takes no longer one (`agent.wire.validate`)

log = logging.getLogger("agent.daemon")


class HeldLeases:
    """Obeys the server. What it begins goes on when the connection is lost.

    `is_closed` says whether new jobs are refused; `on_release` is called when a job was done and is forgotten.
    """

    def __init__(
        self,
        jobs: JobTable,
        *,
        max_jobs: int,
        is_closed: Callable[[], bool],
        on_release: Callable[[], None] = lambda: None,
    ) -> None:
        self._jobs = jobs
        self._max_jobs = max_jobs
        self._events = ArrivingEvents(jobs)
        self._is_closed = is_closed
        self._on_release = on_release
        self._tasks: set[asyncio.Task[None]] = set()
        self._untaken: dict[
            tuple[str, int], asyncio.Event
        ] = {}  # offers; set when they were answered, or never will be

    async def obey(self, message: m.ServerMessage, connection: Connection) -> None:
        """Act upon one message."""
        match message:
            case m.Assign():
                self._untaken.setdefault((message.job, message.lease), asyncio.Event())
                connection.offers.put_nowait(message)
            case m.Ack():
                if self._jobs.is_waiting(message.job, message.lease):
                    self._begin(message, connection)
                if message.answer is not None:
                    self._spawn(self._jobs.answer(message.job, message.lease, message.answer))
                self._jobs.growth.set()
            case m.Cancel():
                self._spawn(self._cancel(message))
            case m.Release():
                await self._jobs.release(message.job, message.lease)
                self._on_release()
            case m.Revoke():
                connection.parts.put_nowait(message)
                self._spawn(self._revoke(message))
            case m.EventPart():
                connection.parts.put_nowait(message)
            case (
                m.Challenge()
                | m.Welcome()
                | m.Rejected()
                | m.Attach()
                | m.AttachInput()
                | m.AttachTaken()
                | m.AttachLeave()
            ):
                pass  # the connection's own, and what `agent.daemon.attachments` obeys

    async def take_offers(self, connection: Connection) -> None:
        """Answer what is offered on `connection`, in order, until cancelled: what was not answered then is offered again."""
        offers = connection.offers
        try:
            while True:
                assign = await offers.get()
                try:
                    await self._take(assign, connection)
                finally:
                    self._note_taken(assign)
        finally:
            while not offers.empty():
                self._note_taken(offers.get_nowait())

    def _begin(self, ack: m.Ack, connection: Connection) -> None:
        """A job that waits may start: at once, or as soon as its event is here."""
        if self._events.lacks(ack.job, ack.lease):
            connection.without_event.put_nowait((ack.job, ack.lease))
        else:
            self._spawn(self._jobs.start(ack.job, ack.lease))

    async def bring_events(self, connection: Connection) -> None:
        """Bring the events of jobs that wait for them, until cancelled."""
        await self._events.bring(connection, lambda *job: self._spawn(self._jobs.start(*job)))

    def _note_taken(self, assign: m.Assign) -> None:
        taken = self._untaken.pop((assign.job, assign.lease), None)
        if taken is not None:
            taken.set()

    async def _cancel(self, cancel: m.Cancel) -> None:
        await self._wait_until_taken(cancel.job, cancel.lease)
        await self._events.wait_for(cancel.job, cancel.lease)
        await self._jobs.cancel(cancel.job, cancel.lease, cancel.reason, interrupts=cancel.interrupts)

    async def _revoke(self, revoke: m.Revoke) -> None:
        await self._wait_until_taken(revoke.job, revoke.lease)
        await self._jobs.revoke(revoke.job, revoke.lease, revoke.reason)

    async def _wait_until_taken(self, job: str, lease: int) -> None:
        taken = self._untaken.get((job, lease))
        if taken is not None:
            await taken.wait()

    async def _take(self, assign: m.Assign, connection: Connection) -> None:
        """Store and accept a job, or refuse it. A job that is here already is accepted again, and runs once."""
        if not connection.protocol.may_answer(assign.job, assign.lease):
            return  # taken back while it waited for its turn
        refusal = await self._find_refusal(assign)
        if not refusal:
            try:
                # Shielded: a connection that breaks now must not leave a folder that nobody knows of.
                await asyncio.shield(self._spawn(self._jobs.store(assign)))
            except (AgentError, OSError) as error:
                refusal = str(error)
            except Exception as error:  # one job's odd values end no connection, with all others' jobs on it
                log.exception("job %s can't be kept", assign.job)
                refusal = f"{m.CANNOT_KEEP}: {type(error).__name__}: {str(error)[:200]}"
        if not connection.protocol.may_answer(assign.job, assign.lease):
            return  # taken back meanwhile: whoever is told so waits for us
        if refusal:
            log.info("job %s is refused: %s", assign.job, refusal)
            connection.protocol.refuse(assign.job, assign.lease, refusal[:_LONGEST_REASON])
        else:
            connection.protocol.accept(assign.job, assign.lease)
            if not connection.protocol.must_wait(assign):
                self._spawn(self._jobs.start(assign.job, assign.lease))
        await connection.flush()

    async def _find_refusal(self, assign: m.Assign) -> str:
        if self._jobs.holds(assign.job, assign.lease):
            return ""
        if self._jobs.newest_lease(assign.job) >= assign.lease:
            return f"lease {assign.lease} is old"
        if unknown := explain_unknown(assign.spec):
            return f"{m.CANNOT_KEEP}: {unknown}"
        if self._is_closed():
            return "the agent takes no new jobs"
        if not await self._jobs.has_slot(self._max_jobs):
            return f"the agent has {self._max_jobs} of {self._max_jobs} jobs"
        if occupied := self._jobs.list_occupied(assign.gpus or ()):
            return f"processes of a job that was taken from here still have GPU {', '.join(occupied)}"
        return ""

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    def _finish(self, task: asyncio.Task[None]) -> None:
        """One job's trouble never stops the others. An AgentError is `store`'s, and is told to the server."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, AgentError):
            log.error("a bug in the agent while it looked after a job", exc_info=error)
