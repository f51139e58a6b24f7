"""Brings jobs to their end whose supervisors do not do so themselves: `agent.daemon.escalation`, carried out.

Of each job that is to end there is one task; what was found out stands in `Job.fate`, for whoever writes the last word.
"""

import asyncio
import logging
from collections.abc import Callable

from agent.daemon import escalation as rules
from agent.daemon.escalation import EscalationEvent, EscalationStage, Measure
from agent.daemon.executor import Executor
from agent.daemon.job import DaemonJob, Fate
from agent.errors import AgentError
from agent.job.launch.launcher import Reply, read_pause
from agent.spec.outcome import FailureKind

_RETRY_SECONDS = 5.0
_PAUSE_SECONDS = 60.0  # how often a job whose time stands still is asked whether it still does
_EVENTS = {Reply.ANSWERED: EscalationEvent.ANSWERED, Reply.ABSENT: EscalationEvent.ABSENT}

log = logging.getLogger("agent.daemon")

# As what a job may be told to end; by its supervisor's word it is cancelled else.
_ENDS = (FailureKind.GPU, FailureKind.INTERRUPTED)


class Enforcer:
    """Ends jobs, through who runs them; `notify` is called when a supervisor may be gone."""

    def __init__(self, notify: Callable[[], None], executor: Executor) -> None:
        self._notify = notify
        self._executor = executor
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._interrupted: set[tuple[str, int]] = set()  # jobs that make place for others, on their way out
        self._watches: set[asyncio.Task[None]] = set()

    def cancel(
        self,
        job: DaemonJob,
        reason: str,
        kind: FailureKind = FailureKind.CANCELLED,
    ) -> None:
        """The job is to end: as cancelled, as interrupted, or as failed by the machine.

        Asking again changes nothing, but that one which is only interrupted is ended as it is said then.
        """
        reason = reason or "the job was cancelled"
        interrupts = kind is FailureKind.INTERRUPTED
        fate = Fate(kind, f"{reason}; its supervisor did not end it and was killed")
        now = asyncio.get_running_loop().time()
        if interrupts:
            self._interrupted.add(job.key)
            job.on_end(lambda: self._interrupted.discard(job.key))
        elif job.key in self._interrupted:
            self._interrupted.discard(job.key)
            if (task := self._tasks.pop(job.key, None)) is not None:
                task.cancel()
        self._begin(job, fate, reason, rules.begin(now, job.limits.cancel_seconds))

    def set_deadline(self, job: DaemonJob, age_seconds: float = 0.0) -> None:
        """See to it that the job, which began so long ago, is over in its time."""
        loop = asyncio.get_running_loop()
        limits = job.limits
        began = loop.time() - age_seconds
        deadline = rules.choose_deadline(began, limits.timeout_seconds, limits.cancel_seconds)
        if deadline is not None:
            task = loop.create_task(self._watch_deadline(job, deadline))
            job.on_end(task.cancel)
            self._watches.add(task)
            task.add_done_callback(self._watches.discard)

    async def _watch_deadline(self, job: DaemonJob, deadline: float) -> None:
        """End the job at its deadline, which is later by as long as the job has waited for people."""
        loop = asyncio.get_running_loop()
        due = deadline
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            is_paused, paused_seconds = await asyncio.to_thread(read_pause, job.folder)
            due = loop.time() + _PAUSE_SECONDS if is_paused else deadline + paused_seconds
            if due <= loop.time():
                break
        self._end_late(job)

    def _end_late(self, job: DaemonJob) -> None:
        minutes = f"{job.limits.timeout_seconds / 60:g}"
        message = f"The job has exceeded the maximum execution time of {minutes} minutes."
        fate = Fate(FailureKind.TIMEOUT, f"{message} Its supervisor did not end it and was killed.")
        self._begin(job, fate, "its time is over", rules.begin_at_deadline(asyncio.get_running_loop().time()))

    def _begin(
        self, job: DaemonJob, fate: Fate, reason: str, first: tuple[rules.Escalation, Measure]
    ) -> None:
        if job.key in self._tasks or job.has_ended.is_set():
            return
        task = asyncio.create_task(self._drive(job, fate, reason, *first))
        self._tasks[job.key] = task
        task.add_done_callback(lambda done: self._finish(job, done))

    def _finish(self, job: DaemonJob, task: asyncio.Task[None]) -> None:
        """One job's trouble is nobody else's."""
        if self._tasks.get(job.key) is task:
            del self._tasks[job.key]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("a bug in the agent while it ended job %s", job.folder.job, exc_info=error)

    async def _drive(
        self, job: DaemonJob, fate: Fate, reason: str, escalation: rules.Escalation, action: Measure | None
    ) -> None:
        loop = asyncio.get_running_loop()
        while not job.has_ended.is_set():
            if escalation.stage is EscalationStage.KILLED:
                log.warning("job %s: its supervisor does not end it; killing all of it", job.folder.job)
                job.fate = fate
                await self._kill(job)
                return
            event = await self._act(job, action, reason, fate) if action else None
            if event is None:
                due_at = escalation.due_at or loop.time()
                if await wait_for_event(job.has_ended, max(0.0, due_at - loop.time())):
                    return
                event = EscalationEvent.DUE
            escalation, action = rules.advance(escalation, event, loop.time())

    async def _act(self, job: DaemonJob, action: Measure, reason: str, fate: Fate) -> EscalationEvent | None:
        is_told = action is not Measure.ASK and await asyncio.to_thread(
            self._executor.tell_to_end, job.folder
        )
        if is_told:
            log.warning("job %s: its supervisor does not answer; it was sent SIGTERM", job.folder.job)
        if action is Measure.TELL:
            return None
        kind = fate.kind if fate.kind in _ENDS else FailureKind.CANCELLED
        return _EVENTS.get(await asyncio.to_thread(self._executor.ask_to_end, job.folder, reason, kind))

    async def _kill(self, job: DaemonJob) -> None:
        said = ""
        while not job.has_ended.is_set():
            try:
                await asyncio.to_thread(self._executor.end, job.folder)
            except AgentError as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("job %s: %s", job.folder.job, said)
            else:
                self._notify()
                return
            await wait_for_event(job.has_ended, _RETRY_SECONDS)


async def wait_for_event(event: asyncio.Event, timeout_seconds: float | None) -> bool:
    """Wait until `event` is set, at most `timeout_seconds`; whether it is."""
    try:
        async with asyncio.timeout(timeout_seconds):
            return await event.wait()
    except TimeoutError:
        return False
