"""Handing over: from a job folder to a number of Slurm's, once.

A job whose `sbatch` got no answer is looked for by its name before it is handed over again. The nodes of a job go together, by the first.
"""

import asyncio
import logging
import sys
import time
from pathlib import Path

from agent.daemon.slurm.cluster import choose_partitions
from agent.daemon.slurm.commands import SlurmCommands
from agent.daemon.slurm.job import SlurmJob, SlurmJobState
from agent.daemon.slurm.request import SlurmSettings, choose_partition, make_arguments, make_script
from agent.daemon.slurm.table import SlurmTable
from agent.errors import AgentError, DamagedError, UnreachableError
from agent.job.launch.lines import read_lines, read_number
from agent.seal.files import write_private_file

_RETRY_SECONDS = (
    1.0,
    30.0,
)  # until a controller that does not answer is asked again: the first time, at most

log = logging.getLogger("agent.daemon")


class SlurmHanding:
    """Hands jobs over, one after the other."""

    def __init__(self, table: SlurmTable, settings: SlurmSettings, commands: SlurmCommands) -> None:
        self._table = table
        self._settings = settings
        self._commands = commands

    async def run(self) -> None:
        """One after the other, in the order in which they came; a controller that does not answer is asked for one only."""
        pause = _RETRY_SECONDS[0]
        while True:
            self._table.has_new.clear()
            try:
                for job in self._table.list_in(SlurmJobState.DOUBTFUL, SlurmJobState.NEW):
                    await asyncio.to_thread(self._hand_over, job)
            except (AgentError, OSError) as error:
                if str(error) != self._table.trouble:
                    log.warning("jobs can't be handed to Slurm now: %s; trying again", error)
                self._table.trouble = str(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _RETRY_SECONDS[1])
            else:
                self._table.trouble, pause = "", _RETRY_SECONDS[0]
                await self._table.has_new.wait()

    def _hand_over(self, job: SlurmJob) -> None:
        """Raises UnreachableError when Slurm does not answer, OSError when a folder can't be written."""
        members = self._list_members(job)
        try:
            self._hand_over_members(job, members)
        except (
            DamagedError,
            FileNotFoundError,
        ) as error:  # this job's own trouble: whoever reads its journal says so
            log.warning("job %s can't be handed to Slurm: %s", job.folder.job, error)
            self._give_up(members)
        except (AgentError, OSError):
            raise
        except Exception:  # a bug of ours must cost neither the other jobs nor the daemon
            log.exception("a bug in the agent while it handed job %s to Slurm", job.folder.job)
            job.refused = "a bug in the agent; see its log"
            self._give_up(members)

    def _hand_over_members(self, job: SlurmJob, members: list[SlurmJob]) -> None:
        is_unwanted = any(one.cancelled or one.refused for one in members)
        if is_unwanted and (job.state is SlurmJobState.NEW or not self._find_number(job)):
            self._give_up(members)
            return
        if job.is_led or len(members) < (job.node.count if job.node else 1):
            return  # the first one, once all are here
        if job.state is SlurmJobState.DOUBTFUL:
            number = self._find_number(job)
            if number:
                self._note_number(members, number)
                return
            job.become(SlurmJobState.NEW)
        self._submit(job, members)

    def _submit(self, job: SlurmJob, members: list[SlurmJob]) -> None:
        try:
            arguments, script = self._make_arguments(job), _write_script(members)
            for one in members:
                one.name = job.name
                one.note()  # from here on it may be there, whatever becomes of us
            number = self._commands.submit(arguments, script)
        except UnreachableError:
            job.become(SlurmJobState.DOUBTFUL)
            raise
        except AgentError as error:
            for one in members:
                one.refused = str(error)
                one.note()
            self._give_up(members)
        else:
            self._note_number(members, number)

    def _list_members(self, job: SlurmJob) -> list[SlurmJob]:
        """Those that are handed over together, by rank: a job alone, or what is here of its nodes and not handed over."""
        if job.node is None:
            return [job]
        waiting = self._table.list_in(SlurmJobState.NEW, SlurmJobState.DOUBTFUL)
        members = {one.node.rank: one for one in waiting if one.node and one.node.gang == job.node.gang}
        return [members[rank] for rank in sorted(members)]

    def _give_up(self, members: list[SlurmJob]) -> None:
        """They are over, and Slurm never had them."""
        why = next((one.cancelled for one in members if one.cancelled), "")
        for one in members:
            one.cancelled = one.cancelled or why
            if one.state is SlurmJobState.DOUBTFUL:
                one.become(SlurmJobState.NEW)
            self._table.end(one)

    def _find_number(self, job: SlurmJob) -> int:
        """The number of a job of which nobody knows whether Slurm has it; 0: it has not."""
        begun = [read_number(line) for line in read_lines(job.folder, "allocation")]
        if begun and begun[-1]:  # the controller may have forgotten it by now
            return begun[-1]
        return max((row.id for row in self._commands.list_queue(name=job.name)), default=0)

    def _make_arguments(self, job: SlurmJob) -> list[str]:
        spec, settings = job.folder.read_spec(), job.folder.read_settings()
        offered = choose_partitions(self._commands.list_partitions(), self._settings.partitions)
        partition = choose_partition(spec.runs_on, offered)
        nodes = job.node.count if job.node else 1
        return make_arguments(spec, len(settings.gpus), partition, self._settings, job.name, nodes)

    def _note_number(self, members: list[SlurmJob], number: int) -> None:
        for job in members:
            job.number = number
            job.note()
            job.seen_at = time.monotonic()
            job.last_state = "PENDING"
            job.become(SlurmJobState.QUEUED)
            log.info("job %s is Slurm's job %d", job.folder.job, number)
        if any(job.cancelled for job in members):
            self._commands.cancel(members[0].name, "--state=PENDING")


def _write_script(members: list[SlurmJob]) -> Path:
    """The batch script for a job, or for all nodes of one, in the first one's folder. Raises OSError, DamagedError."""
    first = members[0].folder
    folders = [str(one.folder.path.absolute()) for one in members]
    file = first.path / "slurm.sh"
    write_private_file(file, make_script(sys.executable, folders, first.read_spec()).encode())
    return file
