"""Slurm's commands. Each is asked once, in its time; who can't reach the controller asks again later.

What Slurm refuses is told from what can't be reached by the sentence: the exit code is 1 for both.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.daemon.slurm.cluster import SINFO_FORMAT, Partition, read_partitions
from agent.errors import NotFoundError, RefusedError, UnreachableError

_SECONDS = 60.0  # an unreachable controller takes 9 s to be one
_FORMAT: Final = "%i|%T|%N|%j|%r"
_UNKNOWN: Final = "Invalid job id specified"
# A restart, a full queue, a limit of this user that others' ends lift: it will do later.
_PASSING: Final = (
    "unable to contact slurm controller",
    "socket timed out",
    "connection refused",
    "connect failure",
    "communication connection failure",
    "message receive failure",
    "message send failure",
    "zero bytes were transmitted",
    "standby mode",
    "temporarily unable",
    "resource temporarily unavailable",
    "unable to accept job",
    "job submit limit",
    "protocol authentication error",
    "munge",
    "invalid authentication credential",
    "unspecified error",
    "could not establish a configuration source",
    "failed to fetch config",
)
# What the commands need of our environment; the rest (SBATCH_..., another job's SLURM_...) would change what they do.
_KEPT: Final = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "SLURM_CONF", "LD_LIBRARY_PATH", "KRB5CCNAME")


@dataclass(frozen=True, slots=True)
class SlurmRow:
    """A job as `squeue` shows it."""

    id: int
    state: str  # agent.daemon.slurm.states
    nodes: str
    name: str
    reason: str


class SlurmCommands:
    """Runs the commands as this user. Each raises UnreachableError when there is no answer now, RefusedError when it is no."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        given = os.environ if environment is None else environment
        self._environment = {name: given[name] for name in _KEPT if name in given}

    def list_partitions(self) -> list[Partition]:
        """What there is."""
        return read_partitions(self._run("sinfo", "--exact", "--noheader", f"--format={SINFO_FORMAT}"))

    def submit(self, arguments: Sequence[str], script: Path) -> int:
        """Hand a script over: the job's number. UnreachableError leaves open whether Slurm has it."""
        said = self._run("sbatch", *arguments, str(script), folder=script.parent)
        number = said.strip().splitlines()[-1].partition(";")[0] if said.strip() else ""
        if not number.isdecimal():
            raise UnreachableError(f"sbatch said no number: {said[:200]!r}")
        return int(number)

    def list_queue(self, *, ids: Sequence[int] = (), name: str = "") -> list[SlurmRow]:
        """The jobs of these numbers, or of this name: those that have ended too, as long as the controller knows them."""
        chosen = f"--name={name}" if name else f"--jobs={','.join(map(str, ids))}"
        try:
            text = self._run("squeue", "--noheader", "--states=all", chosen, f"--format={_FORMAT}")
        except RefusedError as error:
            if _UNKNOWN in error.what:  # of one alone; of several it passes over those that it does not know
                return []
            raise
        rows = [line.strip().split("|", 4) for line in text.splitlines()]
        return [SlurmRow(int(row[0]), *row[1:]) for row in rows if len(row) == 5 and row[0].isdecimal()]

    def cancel(self, name: str, *options: str) -> None:
        """`scancel` of the jobs of this name; none is no error. Never by number: that may be another's by now."""
        try:
            self._run("scancel", *options, f"--name={name}")
        except RefusedError as error:
            if _UNKNOWN not in error.what and "already completing or completed" not in error.what:
                raise

    def _run(self, command: str, *words: str, folder: Path | None = None) -> str:
        try:
            done = subprocess.run(
                [command, *words],
                cwd=folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            raise NotFoundError(
                f"there is no `{command}`",
                where="PATH",
                hint="install Slurm's client commands on this machine",
            ) from None
        except subprocess.TimeoutExpired:
            raise UnreachableError(f"{command} did not answer within {_SECONDS:g} seconds") from None
        if done.returncode == 0:
            return done.stdout.decode(errors="replace")
        said = (
            " ".join(done.stderr.decode(errors="replace").split())
            or f"{command} ended with {done.returncode}"
        )
        what = said.removeprefix(f"{command}: error: ").removeprefix("Batch job submission failed: ")[:500]
        if any(words in said.lower() for words in _PASSING):
            raise UnreachableError(f"Slurm does not answer: {what}")
        raise RefusedError(what)
