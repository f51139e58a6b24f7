"""Watching: what job folders and Slurm's queue say of the jobs that were handed over.

The folder's word counts before the queue's; a controller that is away, or has forgotten a job, changes nothing about what was said.
"""

import asyncio
import logging
import time

from agent.daemon.enforcing import wait_for_event
from agent.daemon.slurm.commands import SlurmCommands, SlurmRow
from agent.daemon.slurm.job import SlurmJob, SlurmJobState
from agent.daemon.slurm.states import ALIVE, FORGOTTEN, PENDING
from agent.daemon.slurm.table import SlurmTable
from agent.errors import AgentError, DamagedError
from agent.job.launch.lines import read_lines, read_number

REMEMBERED_SECONDS = (
    240.0  # a controller forgets a job that has ended after MinJobAge (300 s): one sooner unknown is lost
)
LAST_WORD_SECONDS = 5.0  # for the allocation's own word to be seen, after the queue has said that it is over
_LOOK_SECONDS = 0.5  # how often the job folders are looked at
_ASK_SECONDS = 5.0  # how often the controller is asked, once for all jobs

log = logging.getLogger("agent.daemon")


class SlurmWatch:
    """Looks after the jobs that Slurm has."""

    def __init__(self, table: SlurmTable, commands: SlurmCommands) -> None:
        self._table = table
        self._commands = commands
        self._trouble = ""

    async def run(self) -> None:
        """Look, and ask, until cancelled."""
        ask_at = 0.0
        while True:
            has_news = await wait_for_event(self._table.has_news, _LOOK_SECONDS)
            self._table.has_news.clear()
            jobs = self._table.list_in(SlurmJobState.QUEUED, SlurmJobState.RUNNING)
            if not jobs:
                continue
            try:
                await asyncio.to_thread(self._look_at_folders, jobs)
                if has_news or time.monotonic() >= ask_at:
                    await asyncio.to_thread(
                        self._ask_queue, [job for job in jobs if job.state is not SlurmJobState.ENDED]
                    )
                    ask_at = time.monotonic() + _ASK_SECONDS
            except (AgentError, OSError) as error:
                if str(error) != self._trouble:
                    log.warning("Slurm's jobs can't be looked after now: %s; they go on", error)
                self._trouble = str(error)
            except Exception:  # a bug of ours must cost neither the other jobs nor the daemon
                log.exception("a bug in the agent while it looked after Slurm's jobs; trying again")
            else:
                self._trouble = ""

    def _look_at_folders(self, jobs: list[SlurmJob]) -> None:
        for job in jobs:
            try:
                for line in read_lines(job.folder, "allocation"):
                    self._hear(job, line)
            except DamagedError:  # whoever reads the journal says so; here it is over
                self._table.end(job)

    def _hear(self, job: SlurmJob, line: dict[str, object]) -> None:
        """What the allocation says. It names the one that has the job, should Slurm have it twice."""
        number = read_number(line)
        if number not in (0, job.number):
            job.number = number
            job.note()
        if job.state is SlurmJobState.QUEUED:
            job.become(SlurmJobState.RUNNING)
            job.last_state = "RUNNING"
            job.given_node = ""
        if line.get("event") == "ended":
            status = line.get("status")
            job.signal = -status if isinstance(status, int) and status < 0 else 0
            self._table.end(job)

    def _ask_queue(self, jobs: list[SlurmJob]) -> None:
        if not jobs:
            return
        found = self._commands.list_queue(ids=[job.number for job in jobs])
        # By name too: a controller that was killed gives the numbers that it has lost to others.
        rows = {(row.id, row.name): row for row in found}
        for job in jobs:
            self._judge(job, rows.get((job.number, job.name)))

    def _judge(self, job: SlurmJob, row: SlurmRow | None) -> None:
        """What follows from the queue's word, and whether anything does before the allocation has had time to say its own."""
        now = time.monotonic()
        job.last_state = row.state if row else FORGOTTEN
        job.waiting = row.reason if row and row.state in PENDING else ""
        has_begun = job.state is SlurmJobState.RUNNING
        if row is not None:
            job.seen_at = now
            job.given_node = job.given_node or ("" if has_begun else row.nodes)
        if job.last_state in ALIVE or (job.last_state in PENDING and not has_begun):
            job.over_at = float("inf")
        elif row is None and not has_begun and not job.cancelled and now - job.seen_at < REMEMBERED_SECONDS:
            log.warning(
                "job %s: Slurm has lost its job %d; handing it over again", job.folder.job, job.number
            )
            job.number = 0
            job.become(SlurmJobState.NEW)
            self._table.wake()
        elif now - job.over_at >= LAST_WORD_SECONDS or (job.cancelled and not has_begun):
            if job.last_state in PENDING:  # somebody has put it back, and no attempt runs twice
                self._commands.cancel(job.name)
            self._table.end(job)
        else:
            job.over_at = min(job.over_at, now)
