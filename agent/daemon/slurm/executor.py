"""The executor that hands jobs to Slurm: what the daemon asks of it.

A job is handed over once: its name in Slurm is its own, and is looked for when the answer of `sbatch` was lost. Should it be there
twice all the same, the second start finds the first one's lock, and ends. That it is over is said by the allocation (in the job
folder) or by the queue.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable

from agent.daemon.causes import Clues
from agent.daemon.job import Fate
from agent.daemon.slurm.commands import SlurmCommands
from agent.daemon.slurm.handing import SlurmHanding
from agent.daemon.slurm.job import SlurmJobState, make_job, read_job
from agent.daemon.slurm.request import SlurmSettings
from agent.daemon.slurm.states import ALIVE, FORGOTTEN, explain_end
from agent.daemon.slurm.table import SlurmTable
from agent.daemon.slurm.watching import LAST_WORD_SECONDS, REMEMBERED_SECONDS, SlurmWatch
from agent.errors import AgentError
from agent.job.launch.interruptions import OUTPUT
from agent.job.launch.launcher import JobFolder, Reply, try_cancel
from agent.job.launch.lines import append_line, prepare_lines, read_lines, read_output
from agent.spec.outcome import FailureKind

_LOOK_SECONDS = 0.5
_END_SECONDS = 60.0  # for a job to be gone that was cancelled: KillWait is 30 s, unless said otherwise
_LONGEST = 300

log = logging.getLogger("agent.daemon")


class SlurmExecutor:
    """Runs jobs in Slurm."""

    has_queue = True

    def __init__(self, settings: SlurmSettings, commands: SlurmCommands) -> None:
        self._settings = settings
        self._commands = commands
        self._table = SlurmTable()

    def listen(self, notify: Callable[[], None]) -> None:
        """See `agent.daemon.executor.Executor`."""
        self._table.notify = notify

    def describe_waiting(self, folder: JobFolder) -> str:
        """Why the job does not run yet, in a sentence; empty when it does."""
        job = self._table.find(folder)
        if job is None or job.state in (SlurmJobState.RUNNING, SlurmJobState.ENDED):
            return ""
        if job.state is SlurmJobState.QUEUED:
            return f"waits in Slurm (job {job.number}){f': {job.waiting}' if job.waiting else ''}"[:_LONGEST]
        return f"waits to be handed to Slurm{f': {self._table.trouble}' if self._table.trouble else ''}"[
            :_LONGEST
        ]

    def find_obstacle(self, folder: JobFolder) -> str:
        """See `agent.daemon.executor.Executor`."""
        job = self._table.find(folder)
        words = self.describe_waiting(folder)
        if job is None or words:
            return words and f"the job {words}"
        hosts = [str(line.get("host", "")) for line in read_lines(folder, "allocation")]
        if not hosts or hosts[-1] == os.uname().nodename:
            return ""
        return (
            f"the job runs on {hosts[-1]}, which can't be reached from here: on this cluster, "
            f"`srun --jobid {job.number} --overlap --pty bash` opens a shell beside it"
        )

    async def launch(self, folder: JobFolder) -> None:
        """See `agent.daemon.executor.Executor`. It is handed over as soon as Slurm answers."""
        job = await asyncio.to_thread(make_job, folder)
        await asyncio.to_thread(prepare_lines, folder)
        self._table.put(job)

    def adopt(self, folder: JobFolder) -> bool:
        """See `agent.daemon.executor.Executor`."""
        job = read_job(folder)
        if job is None:
            return False
        prepare_lines(folder)
        job.seen_at = time.monotonic() - REMEMBERED_SECONDS  # we were away, who knows how long
        self._table.put(job)
        return True

    def forget(self, folder: JobFolder) -> None:
        """See `agent.daemon.executor.Executor`."""
        self._table.forget(folder)

    async def watch(self) -> None:
        """Hand jobs over, and look after them. Never returns."""
        self._table.loop = asyncio.get_running_loop()
        self._table.wake()  # what was found before there was a loop
        async with asyncio.TaskGroup() as group:
            group.create_task(SlurmHanding(self._table, self._settings, self._commands).run())
            group.create_task(SlurmWatch(self._table, self._commands).run())

    def has_ended(self, folder: JobFolder) -> bool:
        """See `agent.daemon.executor.Executor`."""
        job = self._table.find(folder)
        return job is None or job.state is SlurmJobState.ENDED

    def covers(self, folder: JobFolder) -> bool:
        """See `agent.daemon.executor.Executor`."""
        return self._table.find(folder) is not None

    def find_age(self, folder: JobFolder) -> float | None:  # noqa: ARG002 - the protocol's
        """See `agent.daemon.executor.Executor`: Slurm's own limit ends what the supervisor does not."""
        return None

    def is_gone(self, folder: JobFolder) -> bool:  # noqa: ARG002 - the protocol's
        """See `agent.daemon.executor.Executor`."""
        return True

    def explain(self, folder: JobFolder, clues: Clues) -> Fate:  # noqa: ARG002 - the protocol's
        """See `agent.daemon.executor.Executor`. Slurm's word for it may come a moment after the allocation's."""
        job = self._table.find(folder)
        if job is None:
            return explain_end(FORGOTTEN, "")
        if job.fate is not None:
            return job.fate
        deadline = time.monotonic() + LAST_WORD_SECONDS
        while job.last_state in {*ALIVE, FORGOTTEN} and job.number and time.monotonic() < deadline:
            try:
                rows = self._commands.list_queue(name=job.name)
            except AgentError:
                break
            job.last_state = rows[-1].state if rows else FORGOTTEN
            if not rows:
                break
            time.sleep(_LOOK_SECONDS)
        return explain_end(job.last_state, _read_last_line(folder), job.given_node, signal_number=job.signal)

    def ask_to_end(self, folder: JobFolder, reason: str, kind: FailureKind) -> Reply:
        """See `agent.daemon.executor.Executor`. One that still waits in Slurm goes without ever having begun."""
        job = self._table.find(folder)
        if job is None or job.state is SlurmJobState.ENDED:
            return Reply.ABSENT
        try:
            if not job.cancelled:
                job.cancelled = reason
                job.note()
                # Before all else, so that a supervisor that begins in this moment finds it.
                asked = {"kind": "cancel", "reason": reason, "failure_kind": kind.value, "id": "cancel"}
                append_line(folder, "asked", asked)
            if job.state is SlurmJobState.RUNNING:
                return try_cancel(folder, reason, kind)
            if job.number:
                self._commands.cancel(job.name, "--state=PENDING")
        except (AgentError, OSError) as error:
            log.warning("job %s can't be cancelled now: %s", folder.job, error)
            return Reply.SILENT
        self._table.wake()
        return Reply.ABSENT

    def tell_to_end(self, folder: JobFolder) -> bool:
        """See `agent.daemon.executor.Executor`."""
        job = self._table.find(folder)
        if job is None or not job.number or job.state is SlurmJobState.ENDED:
            return False
        options = ("--batch", "--signal=TERM") if job.state is SlurmJobState.RUNNING else ()
        try:
            self._commands.cancel(job.name, *options)
        except AgentError as error:
            log.warning("job %s can't be told to end: %s", folder.job, error)
            return False
        return True

    def end(self, folder: JobFolder) -> None:
        """See `agent.daemon.executor.Executor`."""
        job = self._table.find(folder)
        if job is None:
            return
        job.cancelled = job.cancelled or "it was ended"
        self._table.wake()
        deadline = time.monotonic() + _END_SECONDS
        while job.state is not SlurmJobState.ENDED and time.monotonic() < deadline:
            if job.number:
                self._commands.cancel(job.name)
            time.sleep(_LOOK_SECONDS)
        if job.state is not SlurmJobState.ENDED:
            raise AgentError(f"Slurm still has job {job.number or job.name}")


def _read_last_line(folder: JobFolder) -> str:
    """The last that the batch script printed, before our own process was there or instead of it."""
    lines = read_output(folder.path / OUTPUT).splitlines()
    return next((line.strip()[:_LONGEST] for line in reversed(lines) if line.strip()), "")
