"""The job attempts on this machine, each in its folder with a supervisor of its own.

The states of one, and what follows what: `agent.daemon.job`. The folders are the memory: a daemon that starts adopts what it finds. A supervisor that ended without a last word is
buried, so that every journal comes to an end. One that does not end its job in time is killed (`agent.daemon.escalation`),
and a job that has spoiled its folder is ended and its folder set aside. A job has ended, and its room is another's, when
none of its processes lives. Nothing here waits for the server, and no job's trouble is another's.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

from agent.daemon.causes import Clues, count_oom_kills
from agent.daemon.enforcing import Enforcer, wait_for_event
from agent.daemon.executor import Executor
from agent.daemon.job import DaemonJob, DaemonJobState, Fate, JobLimits, LastWord, describe_spoil
from agent.errors import AgentError, DamagedError, SpoiledError, UnreachableError
from agent.job.launch.burial import bury, bury_spoiled, has_last_word
from agent.job.launch.launcher import (
    JobFolder,
    JobSettings,
    NewRoom,
    answer_step,
    create_job_folder,
    has_room,
    list_job_folders,
    remove_job_folder,
)
from agent.spec.job import JobSpec
from agent.spec.outcome import FailureKind
from agent.wire import messages as m

_LOOK_SECONDS = 0.2  # how often the locks of supervisors are looked at whose end nobody tells us
_COUNT_SECONDS = 1.0  # how often the kernel's OOM kills are counted, while there are supervisors
_RETRY_SECONDS = 5.0  # until what could not be done for a job is tried again

log = logging.getLogger("agent.daemon")


Explain = Callable[[], Fate]
Equip = Callable[[JobSettings, m.Assign], Awaitable[JobSettings]]
FindRoom = Callable[[Sequence[str]], Awaitable[NewRoom]]


class JobTable:
    """All attempts on this machine. Every verb may be repeated; one about an attempt that is not here does nothing."""

    def __init__(
        self,
        root: Path,
        settings: JobSettings,
        executor: Executor,
        equip: Equip | None = None,
        find_room: FindRoom | None = None,
    ) -> None:
        """`equip` adds to a job's settings what this machine is at that moment, and what of it is the job's; `find_room` says the
        same of GPUs that a job is given once more.

        They raise an AgentError when what the server gave the job is not there.
        """
        self.root = root
        self._settings = settings
        executor.listen(self._note_ending)
        self._executor = executor
        self._equip = equip
        self._find_room = find_room
        self._launching = asyncio.Lock()
        self._settling: set[tuple[str, int]] = set()
        self._jobs: dict[tuple[str, int], DaemonJob] = {}
        self._has_news = asyncio.Event()
        self._has_removed = asyncio.Event()
        self._enforcer = Enforcer(self._note_ending, executor)
        self._clues = Clues()
        self._oom_kills = count_oom_kills()
        self.growth = asyncio.Event()  # set when there may be something to ship

    def __iter__(self) -> Iterator[DaemonJob]:
        return iter(tuple(self._jobs.values()))

    def adopt(self, *, has_rebooted: bool) -> None:
        """Take over what an earlier daemon left. A job that never ran waits for the server to say that it is ours."""
        self._clues = Clues(has_rebooted=has_rebooted)
        for folder in list_job_folders(self.root):
            job = self._adopt(folder)
            self._jobs[job.key] = job
        if self._jobs:
            log.info("found %s here from before", _count(len(self._jobs)))
        self._has_news.set()

    def describe_held(self) -> tuple[m.HeldJob, ...]:
        """The attempts that are ours, for `ready` and `heartbeat`."""
        return tuple(
            m.HeldJob(
                *job.key, job.count_journal_bytes(), job.is_alive, self._executor.describe_waiting(job.folder)
            )
            for job in self
            if job.state is not DaemonJobState.LEAVING
        )

    @property
    def has_living(self) -> bool:
        """Whether a supervisor runs or is about to."""
        return any(job.is_alive for job in self)

    def count_active(self) -> int:
        """How many attempts have not ended: those included that are not ours any more and still have a process."""
        return sum(job.state is not DaemonJobState.ENDED and not job.is_complete for job in self)

    async def has_slot(self, slots: int) -> bool:
        """Whether one of so many slots is free: jobs that wait for a person may have given theirs back."""
        if self.count_active() < slots or self._executor.has_queue:
            return self.count_active() < slots  # an allocation is given back at the job's end
        running = [job.folder for job in self if job.state is DaemonJobState.RUNNING]
        have_room = await asyncio.to_thread(lambda: [has_room(folder) for folder in running])
        return self.count_active() - have_room.count(False) < slots

    def list_occupied(self, gpus: Iterable[str]) -> list[str]:
        """Those of `gpus` that a job still has which the server has taken from this machine: not all of it is dead."""
        if self._executor.has_queue:  # it is not for us to say who has which
            return []
        left = [job.gpus for job in self if job.state is DaemonJobState.LEAVING and not job.is_complete]
        return sorted(set(gpus) & set[str]().union(*left))

    def newest_lease(self, job: str) -> int:
        """The highest lease under which `job` was given to this machine and is still here; 0 for none."""
        return max((lease for name, lease in self._jobs if name == job), default=0)

    def holds(self, job: str, lease: int) -> bool:
        """Whether this attempt is here and ours."""
        held = self._jobs.get((job, lease))
        return held is not None and held.state is not DaemonJobState.LEAVING

    async def find_running(self, job: str, lease: int) -> JobFolder | None:
        """The folder of an attempt that runs; one that is about to is waited for. None when it has ended, or is not ours.

        Raises AgentError when it runs where it can't be reached from here.
        """
        held = self._jobs.get((job, lease))
        if held is not None:
            await held.has_begun.wait()
        if held is None or held.state is not DaemonJobState.RUNNING:
            return None
        obstacle = await asyncio.to_thread(self._executor.find_obstacle, held.folder)
        if obstacle:
            raise AgentError(obstacle)
        return held.folder

    def is_waiting(self, job: str, lease: int) -> bool:
        """Whether this attempt is here and was never started."""
        held = self._jobs.get((job, lease))
        return held is not None and held.state is DaemonJobState.WAITING

    def find_waiting(self, job: str, lease: int) -> DaemonJob | None:
        """The attempt, while it is here and was never started."""
        return self._jobs[job, lease] if self.is_waiting(job, lease) else None

    def list_events(self, digest: str) -> list[Path]:
        """Where jobs of this machine have the long event of that digest, or will have it."""
        return [
            job.folder.event
            for job in self
            if job.event_apart is not None and job.event_apart.digest == digest
        ]

    async def wait_until_removed(self) -> None:
        """Wait until no folder is left that is about to go."""
        while any(job.state is DaemonJobState.LEAVING for job in self):
            self._has_removed.clear()
            await self._has_removed.wait()

    async def store(self, assign: m.Assign) -> None:
        """Put an assigned job on the disk; it waits there for `start`. Raises AgentError when the disk refuses, or `equip`."""
        settings = self._settings if self._equip is None else await self._equip(self._settings, assign)
        folder = await asyncio.to_thread(
            create_job_folder, self.root, assign.spec, assign.lease, settings, assign.sealed
        )
        job = DaemonJob(
            folder,
            DaemonJobState.WAITING,
            JobLimits.of(assign.spec),
            frozenset(settings.gpus if assign.gpus is None else assign.gpus),
            assign.spec.event_apart,
        )
        job.shares_gpus = _shares_gpus(assign.spec)
        self._jobs.setdefault(job.key, job)

    async def start(self, job: str, lease: int, trouble: str = "") -> None:
        """Start the supervisor of a waiting attempt. One that can't be started, for that `trouble` or another, ends, saying why."""
        held = self._jobs.get((job, lease))
        async with self._launching:
            if held is None or held.state is not DaemonJobState.WAITING:
                return
            held.become(DaemonJobState.STARTING)
            try:
                await self._launch(held.folder, trouble)
            except (AgentError, OSError) as error:
                if self._has_ended(held):
                    fate = Fate(FailureKind.INFRASTRUCTURE, f"the job could not be started: {error}")
                    self._settling.add(held.key)
                    await self._settle(held, lambda: fate)
                    if held.is_alive:  # it can't be ended now: the watch tries again
                        held.fate = fate
                        held.become(DaemonJobState.RUNNING)
                    return
            held.become(DaemonJobState.RUNNING)
            held.has_begun.set()
            if not self._executor.has_queue:
                self._enforcer.set_deadline(held)
            log.info("job %s %s (lease %d)", job, "queued" if self._executor.has_queue else "started", lease)
            self._fail_troubled(held)
        self._has_news.set()
        self.growth.set()

    async def _launch(self, folder: JobFolder, trouble: str) -> None:
        if trouble:
            raise AgentError(trouble)
        await self._executor.launch(folder)

    async def cancel(self, job: str, lease: int, reason: str, *, interrupts: bool = False) -> None:
        """Have the attempt end: its supervisor is asked, and killed when it does not see to it.

        `interrupts`: it makes place for another job, and is to keep what its next try goes on from.
        """
        held = self._jobs.get((job, lease))
        if held is None:
            return
        async with self._launching:
            pass  # a supervisor that was being started listens now
        log.info("job %s is to be %s: %s", job, "interrupted" if interrupts else "cancelled", reason)
        if held.state in (DaemonJobState.RUNNING, DaemonJobState.LEAVING):
            kind = FailureKind.INTERRUPTED if interrupts else FailureKind.CANCELLED
            self._enforcer.cancel(held, reason, kind)

    def fail(self, gpus: Collection[str], reason: str) -> None:
        """These GPUs are broken: the attempts that have one of them fail, as failed by the machine. Others are left alone."""
        for job in self:
            if not job.trouble and not job.gpus.isdisjoint(gpus):
                job.trouble = reason
                self._fail_troubled(job)

    def _fail_troubled(self, job: DaemonJob) -> None:
        """One that has not begun yet fails as soon as it has."""
        if job.trouble and job.state is DaemonJobState.RUNNING:
            log.warning("job %s fails: %s", job.folder.job, job.trouble)
            self._enforcer.cancel(job, job.trouble, FailureKind.GPU)

    async def answer(self, job: str, lease: int, answer: m.StepAnswer) -> None:
        """Somebody has answered what a step of the attempt waits for: its supervisor is told, until it has heard."""
        held = self._jobs.get((job, lease))
        room, trouble = await self._choose_room(answer)
        if held is not None and room is not None:
            held.gpus = frozenset(room.gpus)
        while held is not None and held.state is DaemonJobState.RUNNING:
            try:
                refusal = await asyncio.to_thread(
                    answer_step, held.folder, answer.step, answer.by, answer.values, trouble, room
                )
            except UnreachableError:
                if await wait_for_event(held.has_ended, _RETRY_SECONDS):
                    return
                continue
            if refusal:  # it was told before, most likely on an earlier connection
                log.info("job %s: an answer to step %d is not taken: %s", job, answer.step, refusal)
            return

    async def _choose_room(self, answer: m.StepAnswer) -> tuple[NewRoom | None, str]:
        """What the job has from its answer on, and why it can't go on with it; None: what it had."""
        if answer.gpus is None or self._find_room is None:
            return None, ""
        try:
            return await self._find_room(answer.gpus), ""
        except AgentError as error:
            return NewRoom(), str(error)

    async def release(self, job: str, lease: int) -> None:
        """The server has all of it: the folder goes as soon as the supervisor is gone."""
        await self._leave(job, lease, "is complete on the server", is_complete=True)

    async def revoke(self, job: str, lease: int, reason: str) -> None:
        """The attempt is not ours any more: it is cancelled, nothing of it is shipped, and its folder goes."""
        if await self._leave(job, lease, f"is not ours any more: {reason}"):
            await self.cancel(job, lease, reason)

    async def watch(self) -> None:
        """Look after the supervisors: bury those that died, remove the folders that may go. Never returns."""
        async with asyncio.TaskGroup() as group:  # one folder that takes long to go keeps nobody waiting
            group.create_task(self._executor.watch())
            is_due = True
            while True:
                self._has_news.clear()
                for job in self._find_ended():
                    self._settling.add(job.key)
                    group.create_task(self._settle(job, self._find_explanation(job.folder)))
                # What happened before the jobs were adopted explains only what was found then.
                self._clues = Clues()
                if is_due:
                    self._oom_kills = count_oom_kills()
                pause = self._choose_pause()
                is_due = not await wait_for_event(self._has_news, pause) or pause is None

    def _find_ended(self) -> list[DaemonJob]:
        """The jobs whose supervisor is gone, and of whom nobody has taken care yet."""
        return [
            job
            for job in self
            if job.state in (DaemonJobState.RUNNING, DaemonJobState.LEAVING)
            and job.key not in self._settling
            and self._has_ended(job)
        ]

    def _choose_pause(self) -> float | None:
        """How many seconds there may be nothing to do; None for as long as there is no news."""
        states = (DaemonJobState.RUNNING, DaemonJobState.LEAVING)
        living = [job for job in self if job.state in states and job.key not in self._settling]
        if all(self._executor.covers(job.folder) for job in living):
            return _COUNT_SECONDS if living else None
        return _LOOK_SECONDS

    def _note_ending(self) -> None:
        self._has_news.set()
        self.growth.set()

    async def _leave(self, job: str, lease: int, why: str, *, is_complete: bool = False) -> bool:
        async with self._launching:  # one that is being started can't leave
            held = self._jobs.get((job, lease))
            if held is None or held.state is DaemonJobState.LEAVING:
                return False
            log.info("job %s (lease %d) %s", job, lease, why)
            held.become(DaemonJobState.LEAVING)
            held.is_complete = is_complete
            held.has_begun.set()
        self._has_news.set()
        return True

    def note_spoil(self, job: DaemonJob, error: DamagedError) -> None:
        """Something is wrong with the job's folder: whoever reads it, says so."""
        job.note_spoil(error)
        self._has_news.set()

    def _adopt(self, folder: JobFolder) -> DaemonJob:
        """What an earlier daemon left. Trouble with one folder is that job's alone."""
        job = DaemonJob(folder, DaemonJobState.FOUND)
        has_begun = True
        try:
            has_begun = self._read_up(job)
        except DamagedError as error:
            job.note_spoil(error)
        job.become(DaemonJobState.RUNNING if has_begun else DaemonJobState.WAITING)
        if has_begun:
            job.has_begun.set()
        return job

    def _read_up(self, job: DaemonJob) -> bool:
        """What the folder says of a job that was found; gives whether it was ever started. Raises DamagedError."""
        folder = job.folder
        if folder.read_ending() is not None:  # set aside, and not shipped yet
            return True
        spec = folder.read_spec()
        job.limits, job.event_apart = JobLimits.of(spec), spec.event_apart
        job.shares_gpus = _shares_gpus(spec)
        job.gpus = frozenset(folder.read_settings().gpus)
        has_begun = self._executor.adopt(folder) or job.journal.size() > 0
        age_seconds = self._executor.find_age(folder)
        if age_seconds is not None:
            self._enforcer.set_deadline(job, age_seconds)
        return has_begun

    def _has_ended(self, job: DaemonJob) -> bool:
        """Whether no supervisor works on the job: by its lock, or because its folder is spoiled, which is seen to first."""
        try:
            return bool(job.spoil) or self._executor.has_ended(job.folder)
        except SpoiledError as error:
            job.note_spoil(error)
            return True
        except OSError as error:  # the machine's trouble: it is looked at again
            log.warning("job %s: its lock can't be looked at: %s", job.folder.job, error)
            return False

    def _find_explanation(self, folder: JobFolder) -> Explain:
        """What explains the death of a supervisor that was found dead just now, should it have died."""
        has_rebooted, known_kills = self._clues.has_rebooted, self._oom_kills
        return lambda: self._executor.explain(folder, Clues(has_rebooted, count_oom_kills() - known_kills))

    async def _settle(self, job: DaemonJob, explain: Explain) -> None:
        """The supervisor of `job` is gone, or is to be. Whatever goes wrong here ends at this job."""
        try:
            if job.state is DaemonJobState.LEAVING:
                await self._remove(job)
            else:
                await self._end(job, explain)
        except (AgentError, OSError) as error:
            log.warning("job %s can't be ended: %s; trying again", job.folder.job, error)
            await asyncio.sleep(_RETRY_SECONDS)
        except Exception:  # a bug of ours must cost neither the other jobs nor the daemon
            log.exception("a bug in the agent while it ended job %s; trying again", job.folder.job)
            await asyncio.sleep(_RETRY_SECONDS)
        finally:
            self._settling.discard(job.key)
            self._has_news.set()  # it may have begun to leave in the meantime

    async def _end(self, job: DaemonJob, explain: Explain) -> None:
        """See to it that all of the job is dead and its journal has a last word; one that the supervisor wrote stays.

        Raises AgentError when that can't be done now.
        """
        if not job.spoil:
            try:
                await asyncio.to_thread(self._close, job, explain)
            except DamagedError as error:
                job.note_spoil(error)
        if job.spoil:
            await self._end_spoiled(job)
        if job.state is not DaemonJobState.LEAVING:
            job.become(DaemonJobState.ENDED)
            log.info("job %s has ended (lease %d)", *job.key)
        job.note_end()
        self.growth.set()

    def _close(self, job: DaemonJob, explain: Explain) -> None:
        """Raises DamagedError when the folder or the journal is not what it was."""
        folder = job.folder
        ending = folder.read_ending()
        if ending is not None and job.journal.size() == 0:
            job.last_word = LastWord(folder, ending)
            return
        if has_last_word(folder):
            return
        if ending is not None:
            fate = Fate(ending.failure_kind or FailureKind.INFRASTRUCTURE, ending.message)
        elif job.fate is None and not self._executor.is_gone(folder):
            raise SpoiledError("'lock' was replaced by another file", where=str(folder.lock))
        else:
            fate = job.fate or explain()
        bury(folder, fate.kind, fate.message, fate.conclusion)

    async def _end_spoiled(self, job: DaemonJob) -> None:
        message = describe_spoil(job.spoil)
        log.warning("job %s: %s; ending it", job.folder.job, message)
        held = job.journal.held
        aside = await asyncio.to_thread(bury_spoiled, job.folder, message, self._settings, held)
        if aside.exists():
            log.warning(
                "job %s: some of its folder can't be removed and is left at %s", job.folder.job, aside
            )
        job.journal.close()
        job.spoil = ""
        if job.count_journal_bytes() == 0:
            job.last_word = LastWord(job.folder, job.find_result(""))

    async def _remove(self, job: DaemonJob) -> None:
        if not job.is_complete:
            await asyncio.to_thread(self._executor.end, job.folder)
        try:
            settings = self._settings
            remains = await asyncio.to_thread(
                remove_job_folder, job.folder, settings.work_folder, settings.account
            )
        except (AgentError, OSError) as error:
            log.warning("job %s: its folder can't be removed: %s", job.folder.job, error)
        else:
            if remains:
                log.warning(
                    "job %s: %d things that it left can't be removed and were set aside: %s",
                    *(job.folder.job, remains.count, remains),
                )
        job.journal.close()
        job.note_end()
        self._executor.forget(job.folder)
        del self._jobs[job.key]
        self._has_removed.set()


def _shares_gpus(spec: JobSpec) -> bool:
    return spec.resources.gpus is not None and spec.resources.gpus.is_shared


def _count(jobs: int) -> str:
    return "1 job" if jobs == 1 else f"{jobs} jobs"
