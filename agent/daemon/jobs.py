"""The job attempts on this machine, each in its folder with a supervisor of its own.

    waiting ---start---> starting ---> running ---supervisor ends---> ended ---release---> gone
       |  its supervisor never ran        |                             |
       +----------------------------- revoke, release ------------------+---> leaving ---supervisor ended---> gone

The folders are the memory: a daemon that starts adopts what it finds. A supervisor that ended without a last word is
buried, so that every journal comes to an end. Nothing here waits for the server.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from agent.daemon.causes import Clues, count_oom_kills, explain_death
from agent.daemon.endings import Endings
from agent.errors import AgentError
from agent.job.launch import (
    JobFolder,
    JobSettings,
    bury,
    create_job_folder,
    has_last_word,
    is_running,
    list_job_folders,
    remove_job_folder,
    request_cancel,
)
from agent.journal.file import size
from agent.spec.outcome import FailureKind
from agent.wire import messages as m

_LOOK_SECONDS = 0.2  # how often the locks of supervisors are looked at whose end nobody tells us
_COUNT_SECONDS = 1.0  # how often the kernel's OOM kills are counted, while there are supervisors

log = logging.getLogger("agent.daemon")


Explain = Callable[[], tuple[FailureKind, str]]
Equip = Callable[[JobSettings, m.Assign], Awaitable[JobSettings]]


class JobState(StrEnum):
    """Where a job attempt on this machine stands."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"
    LEAVING = "leaving"


@dataclass(slots=True)
class Job:
    """One attempt: its folder, and where it stands."""

    folder: JobFolder
    state: JobState
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)  # or will not any more

    @property
    def key(self) -> tuple[str, int]:
        """(job, lease): what every message names."""
        return self.folder.job, self.folder.lease


class Launcher(Protocol):
    """Starts supervisors; `agent.job.launch.ForkServer` is the one that is used."""

    async def launch(self, folder: JobFolder) -> int:
        """Start the supervisor of `folder`, and return its process id. Raises AgentError."""
        ...


class JobTable:
    """All attempts on this machine. Every verb may be repeated; one about an attempt that is not here does nothing."""

    def __init__(
        self,
        root: Path,
        settings: JobSettings,
        launcher: Launcher,
        equip: Equip | None = None,
    ) -> None:
        """`equip` adds to a job's settings what this machine is at that moment, and what of it is the job's.

        It raises an AgentError when what the server gave the job is not there.
        """
        self._root = root
        self._settings = settings
        self._launcher = launcher
        self._equip = equip
        self._launching = asyncio.Lock()
        self._endings = Endings(self._note_ending)
        self._settling: set[tuple[str, int]] = set()
        self._jobs: dict[tuple[str, int], Job] = {}
        self._has_news = asyncio.Event()
        self._has_removed = asyncio.Event()
        self._clues = Clues()
        self._oom_kills = count_oom_kills()
        self.growth = asyncio.Event()  # set when there may be something to ship

    def __iter__(self) -> Iterator[Job]:
        return iter(tuple(self._jobs.values()))

    def adopt(self, *, has_rebooted: bool) -> None:
        """Take over what an earlier daemon left. A job that never ran waits for the server to say that it is ours."""
        self._clues = Clues(has_rebooted=has_rebooted)
        for folder in list_job_folders(self._root):
            has_started = is_running(folder) or size(folder.journal) > 0
            job = Job(folder, JobState.RUNNING if has_started else JobState.WAITING)
            if has_started:
                job.has_begun.set()
            self._jobs[job.key] = job
        if self._jobs:
            log.info("found %s here from before", _count(len(self._jobs)))
        self._has_news.set()

    def describe_held(self) -> tuple[m.HeldJob, ...]:
        """The attempts that are ours, for `ready` and `heartbeat`."""
        return tuple(
            m.HeldJob(*job.key, size(job.folder.journal), job.state in (JobState.STARTING, JobState.RUNNING))
            for job in self
            if job.state is not JobState.LEAVING
        )

    @property
    def has_living(self) -> bool:
        """Whether a supervisor runs or is about to."""
        return any(job.state in (JobState.STARTING, JobState.RUNNING) for job in self)

    def count_active(self) -> int:
        """How many attempts have not ended."""
        return sum(job.state in (JobState.WAITING, JobState.STARTING, JobState.RUNNING) for job in self)

    def newest_lease(self, job: str) -> int:
        """The highest lease under which `job` was given to this machine and is still here; 0 for none."""
        return max((lease for name, lease in self._jobs if name == job), default=0)

    def holds(self, job: str, lease: int) -> bool:
        """Whether this attempt is here and ours."""
        held = self._jobs.get((job, lease))
        return held is not None and held.state is not JobState.LEAVING

    async def find_running(self, job: str, lease: int) -> JobFolder | None:
        """The folder of an attempt that runs; one that is about to is waited for. None when it has ended, or is not ours."""
        held = self._jobs.get((job, lease))
        if held is not None:
            await held.has_begun.wait()
        return held.folder if held is not None and held.state is JobState.RUNNING else None

    def is_waiting(self, job: str, lease: int) -> bool:
        """Whether this attempt is here and was never started."""
        held = self._jobs.get((job, lease))
        return held is not None and held.state is JobState.WAITING

    async def wait_until_removed(self) -> None:
        """Wait until no folder is left that is about to go."""
        while any(job.state is JobState.LEAVING for job in self):
            self._has_removed.clear()
            await self._has_removed.wait()

    async def store(self, assign: m.Assign) -> None:
        """Put an assigned job on the disk; it waits there for `start`. Raises AgentError when the disk refuses, or `equip`."""
        settings = self._settings if self._equip is None else await self._equip(self._settings, assign)
        folder = await asyncio.to_thread(
            create_job_folder, self._root, assign.spec, assign.lease, settings, assign.sealed
        )
        job = Job(folder, JobState.WAITING)
        self._jobs.setdefault(job.key, job)

    async def start(self, job: str, lease: int) -> None:
        """Start the supervisor of a waiting attempt. One that can't be started ends, saying why."""
        held = self._jobs.get((job, lease))
        async with self._launching:
            if held is None or held.state is not JobState.WAITING:
                return
            held.state = JobState.STARTING
            try:
                pid = await self._launcher.launch(held.folder)
            except (AgentError, OSError) as error:
                if not is_running(held.folder):
                    cause = FailureKind.INFRASTRUCTURE, f"the job could not be started: {error}"
                    await self._end(held, lambda: cause)
                    return
            else:
                self._endings.watch(held.folder, pid)
            held.state = JobState.RUNNING
            held.has_begun.set()
            log.info("job %s started (lease %d)", *held.key)
        self._has_news.set()
        self.growth.set()

    async def cancel(self, job: str, lease: int, reason: str) -> None:
        """Ask the attempt's supervisor to end it."""
        held = self._jobs.get((job, lease))
        if held is None:
            return
        async with self._launching:
            pass  # a supervisor that was being started listens now
        log.info("job %s is to be cancelled: %s", job, reason)
        if not await asyncio.to_thread(request_cancel, held.folder, reason):
            log.info("job %s had ended already", job)

    async def release(self, job: str, lease: int) -> None:
        """The server has all of it: the folder goes as soon as the supervisor is gone."""
        await self._leave(job, lease, "is complete on the server")

    async def revoke(self, job: str, lease: int, reason: str) -> None:
        """The attempt is not ours any more: it is cancelled, nothing of it is shipped, and its folder goes."""
        if await self._leave(job, lease, f"is not ours any more: {reason}"):
            await self.cancel(job, lease, reason)

    async def watch(self) -> None:
        """Look after the supervisors: bury those that died, remove the folders that may go. Never returns."""
        async with asyncio.TaskGroup() as group:  # one folder that takes long to go keeps nobody waiting
            is_due = True
            while True:
                self._has_news.clear()
                for job in self._find_ended():
                    self._settling.add(job.key)
                    group.create_task(self._settle(job, self._find_explanation(job.folder)))
                if is_due:
                    self._oom_kills = count_oom_kills()
                pause = self._choose_pause()
                is_due = not await wait_for_event(self._has_news, pause) or pause is None
                # What happened before the daemon started explains only what it found then.
                self._clues = Clues()

    def _find_ended(self) -> list[Job]:
        """The jobs whose supervisor is gone, and of whom nobody has taken care yet."""
        return [
            job
            for job in self
            if job.state in (JobState.RUNNING, JobState.LEAVING)
            and job.key not in self._settling
            and not is_running(job.folder)
        ]

    def _choose_pause(self) -> float | None:
        """How many seconds there may be nothing to do; None for as long as there is no news."""
        states = (JobState.RUNNING, JobState.LEAVING)
        living = [job for job in self if job.state in states and job.key not in self._settling]
        if all(self._endings.covers(job.folder) for job in living):
            return _COUNT_SECONDS if living else None
        return _LOOK_SECONDS

    def _note_ending(self) -> None:
        self._has_news.set()
        self.growth.set()

    async def _leave(self, job: str, lease: int, why: str) -> bool:
        held = self._jobs.get((job, lease))
        if held is None or held.state is JobState.LEAVING:
            return False
        async with self._launching:
            log.info("job %s (lease %d) %s", job, lease, why)
            held.state = JobState.LEAVING
            held.has_begun.set()
        self._has_news.set()
        return True

    def _find_explanation(self, folder: JobFolder) -> Explain:
        """What explains the death of a supervisor that was found dead just now, should it have died."""
        has_rebooted, known_kills = self._clues.has_rebooted, self._oom_kills
        return lambda: explain_death(folder, Clues(has_rebooted, count_oom_kills() - known_kills))

    async def _settle(self, job: Job, explain: Explain) -> None:
        """The supervisor of `job` is gone."""
        if job.state is JobState.LEAVING:
            await self._remove(job)
        else:
            await self._end(job, explain)
        self._settling.discard(job.key)
        self._has_news.set()  # it may have begun to leave in the meantime

    async def _end(self, job: Job, explain: Explain) -> None:
        """See to it that the journal has a last word; one that the supervisor wrote stays."""

        def close() -> None:
            if not has_last_word(job.folder):
                bury(job.folder, *explain())

        try:
            await asyncio.to_thread(close)
        except (AgentError, OSError) as error:
            log.warning("job %s: its journal can't be ended: %s", job.folder.job, error)
        if job.state is not JobState.LEAVING:
            job.state = JobState.ENDED
            job.has_begun.set()
            log.info("job %s has ended (lease %d)", *job.key)
        self.growth.set()

    async def _remove(self, job: Job) -> None:
        try:
            await asyncio.to_thread(remove_job_folder, job.folder)
        except (AgentError, OSError) as error:
            log.warning("job %s: its folder can't be removed: %s", job.folder.job, error)
        del self._jobs[job.key]
        self._has_removed.set()


async def wait_for_event(event: asyncio.Event, timeout_seconds: float | None) -> bool:
    """Wait until `event` is set, at most `timeout_seconds`; whether it is."""
    try:
        async with asyncio.timeout(timeout_seconds):
            return await event.wait()
    except TimeoutError:
        return False


def _count(jobs: int) -> str:
    return "1 job" if jobs == 1 else f"{jobs} jobs"
