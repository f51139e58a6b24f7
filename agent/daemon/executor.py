"""Executors: who runs the jobs of this agent. Here that is a supervisor on this very machine; by way of Slurm: `agent.daemon.slurm`."""

from collections.abc import Callable
from typing import Protocol

from agent.daemon.causes import Clues, explain_death
from agent.daemon.endings import Endings
from agent.daemon.job import Fate
from agent.job.launch.burial import end_attempt, find_supervisors, tell_to_end
from agent.job.launch.launcher import JobFolder, JobSettings, Reply, is_running, try_cancel
from agent.job.process.cgroup import JobGroup
from agent.job.process.proc import age_seconds, wait_until_gone
from agent.spec.outcome import FailureKind

_EXIT_SECONDS = 2.0  # for a supervisor that has given its lock back to be gone


class Launcher(Protocol):
    """Starts supervisors; `agent.job.launch.launcher.ForkServer` is the one that is used."""

    async def launch(self, folder: JobFolder) -> int:
        """Start the supervisor of `folder`, and return its process id. Raises AgentError."""
        ...


class Executor(Protocol):
    """Runs jobs that lie in their folders. What it does not know it looks up: a daemon that starts has nothing but the folders."""

    has_queue: (
        bool  # of its own: only slots are counted here, and a job may have begun long before its supervisor
    )

    def listen(self, notify: Callable[[], None]) -> None:
        """Have `notify` called when a job may have ended."""
        ...

    async def launch(self, folder: JobFolder) -> None:
        """Start the job. Raises AgentError, OSError when it can't be started at all."""
        ...

    def adopt(self, folder: JobFolder) -> bool:
        """Take over what an earlier daemon left: whether it was ever started. Raises DamagedError."""
        ...

    def forget(self, folder: JobFolder) -> None:
        """The folder is gone."""
        ...

    async def watch(self) -> None:
        """What has to go on beside all else; returns when there is nothing of the kind."""
        ...

    def has_ended(self, folder: JobFolder) -> bool:
        """Whether no supervisor works on it, and none will. Raises SpoiledError, OSError."""
        ...

    def covers(self, folder: JobFolder) -> bool:
        """Whether its end will be told; else it has to be looked at."""
        ...

    def describe_waiting(self, folder: JobFolder) -> str:
        """Why a job that was started does not run yet, in a sentence; empty when it does."""
        ...

    def find_obstacle(self, folder: JobFolder) -> str:
        """Why nobody can talk from here to the programs of a job that was started; empty: nothing is in the way."""
        ...

    def find_age(self, folder: JobFolder) -> float | None:
        """How many seconds its supervisor has worked; None where nobody here has to see to its deadline."""
        ...

    def is_gone(self, folder: JobFolder) -> bool:
        """Whether the supervisor of a job that has ended is no process any more."""
        ...

    def explain(self, folder: JobFolder, clues: Clues) -> Fate:
        """How the job ended whose supervisor left no last word."""
        ...

    def ask_to_end(self, folder: JobFolder, reason: str, kind: FailureKind) -> Reply:
        """Have the supervisor end its job early, as what `kind` says."""
        ...

    def tell_to_end(self, folder: JobFolder) -> bool:
        """The same by a signal, to one that does not answer; False when there is none."""
        ...

    def end(self, folder: JobFolder) -> None:
        """End all of the job, and return when nothing of it lives. Raises AgentError."""
        ...


class LocalExecutor:
    """Runs jobs on this machine. `settings` are those of all jobs, for one whose folder can't say."""

    has_queue = False

    def __init__(self, launcher: Launcher, settings: JobSettings) -> None:
        self._launcher = launcher
        self._settings = settings
        self._endings = Endings(lambda: None)

    def listen(self, notify: Callable[[], None]) -> None:
        """See `Executor`."""
        self._endings = Endings(notify)

    async def launch(self, folder: JobFolder) -> None:
        """See `Executor`."""
        self._endings.watch(folder, await self._launcher.launch(folder))

    def adopt(self, folder: JobFolder) -> bool:
        """See `Executor`."""
        return is_running(folder)

    def forget(self, folder: JobFolder) -> None:
        """Nothing was noted."""

    async def watch(self) -> None:
        """Nothing: the kernel tells."""

    def has_ended(self, folder: JobFolder) -> bool:
        """See `Executor`."""
        return not is_running(folder)

    def covers(self, folder: JobFolder) -> bool:
        """See `Executor`."""
        return self._endings.covers(folder)

    def describe_waiting(self, folder: JobFolder) -> str:  # noqa: ARG002 - the protocol's
        """It runs at once."""
        return ""

    def find_obstacle(self, folder: JobFolder) -> str:  # noqa: ARG002 - the protocol's
        """It is here."""
        return ""

    def find_age(self, folder: JobFolder) -> float | None:
        """See `Executor`."""
        return next(map(age_seconds, find_supervisors(folder)), None)

    def is_gone(self, folder: JobFolder) -> bool:
        """See `Executor`."""
        return wait_until_gone(find_supervisors(folder), _EXIT_SECONDS)

    def explain(self, folder: JobFolder, clues: Clues) -> Fate:
        """See `Executor`."""
        return Fate(*explain_death(folder, clues))

    def ask_to_end(self, folder: JobFolder, reason: str, kind: FailureKind) -> Reply:
        """See `Executor`."""
        return try_cancel(folder, reason, kind)

    def tell_to_end(self, folder: JobFolder) -> bool:
        """See `Executor`."""
        return tell_to_end(folder)

    def end(self, folder: JobFolder) -> None:
        """See `Executor`."""
        group = JobGroup(self._settings.job_groups, folder.tracking_id)
        end_attempt(folder, group=group, account=self._settings.account)
