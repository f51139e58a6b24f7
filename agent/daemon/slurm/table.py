"""The jobs of this agent that are Slurm's, as those who hand them over, watch and end them share them."""

import asyncio
from collections.abc import Callable

from agent.daemon.slurm.job import SlurmJob, SlurmJobState
from agent.job.launch.launcher import JobFolder


class SlurmTable:
    """All of them. Asked and changed from several threads: who hands over has those that are new, who watches has the others."""

    def __init__(self) -> None:
        self.has_new = asyncio.Event()  # something is to be handed over
        self.has_news = asyncio.Event()  # something that the queue is to be asked about now
        self.notify: Callable[[], None] = lambda: None  # a job may have ended
        self.trouble = ""  # why nothing can be handed over now
        self.loop: asyncio.AbstractEventLoop | None = None
        self._jobs: dict[JobFolder, SlurmJob] = {}

    def find(self, folder: JobFolder) -> SlurmJob | None:
        """The job in that folder, if it is one of Slurm's."""
        return self._jobs.get(folder)

    def put(self, job: SlurmJob) -> None:
        """There is one more."""
        self._jobs[job.folder] = job
        self.wake()

    def forget(self, folder: JobFolder) -> None:
        """Its folder is gone."""
        self._jobs.pop(folder, None)

    def list_in(self, *states: SlurmJobState) -> list[SlurmJob]:
        """Those that stand there, the oldest first."""
        return [job for job in tuple(self._jobs.values()) if job.state in states]

    def end(self, job: SlurmJob) -> None:
        """It is over, as far as Slurm goes."""
        if job.state is not SlurmJobState.ENDED:
            job.become(SlurmJobState.ENDED)
            self._call(self.notify)

    def wake(self) -> None:
        """Have somebody look now."""
        self._call(self.has_new.set)
        self._call(self.has_news.set)

    def _call(self, call: Callable[[], None]) -> None:
        """From whichever thread."""
        if self.loop is not None:
            self.loop.call_soon_threadsafe(call)
