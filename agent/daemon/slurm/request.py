"""Options of `sbatch` for a job, and its batch script. Pure.

The owner says in which partitions jobs may run, and any other option; a flow chooses among those partitions by a label
(`slurm-NAME`), and says its resources and its time. Nothing that a flow says becomes an option in other words than these.
"""

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.config import Settings
from agent.daemon.slurm.cluster import UNTYPED, Partition, describe_gpu
from agent.errors import RefusedError, UsageError
from agent.job.launch.interruptions import OUTPUT, TIME_IS_NEAR
from agent.spec.job import JobSpec
from agent.spec.request import matches, wanted_gpus

_GRACE_MINUTES = (
    3  # for post steps and hooks, beyond the job's time to cancel: as agent.daemon.escalation has it
)
_MOST_GRACE_SECONDS = 65_535  # sbatch(1), --signal
_OPTION = re.compile(r"--[a-z][a-z-]*(=.*)?", re.DOTALL)
# Said by us for each job, or what would take it from us: another output, another start, another environment.
_OURS: Final = frozenset(
    (
        *("array", "begin", "chdir", "clusters", "comment", "cpus-per-task", "dependency", "error", "export"),
        *("export-file", "gres", "help", "hold", "input", "job-name", "mem", "nodes", "no-requeue", "ntasks"),
        *("ntasks-per-node", "open-mode", "output", "parsable", "partition", "propagate", "quiet", "requeue"),
        *("signal", "test-only", "time", "uid", "gid", "usage", "version", "wait", "wrap"),
    )
)


@dataclass(frozen=True, slots=True)
class SlurmSettings:
    """What the owner has set: options of `sbatch` for every job, and the partitions that jobs may choose among, the usual one first."""

    options: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()

    @classmethod
    def load(cls, settings: Settings) -> "SlurmSettings":
        """Raises UsageError for options that are not the owner's to set, or that are none."""
        where = settings.origins["slurm_options"]
        try:
            options = tuple(shlex.split(settings["slurm_options"]))
        except ValueError as error:
            raise UsageError(f"slurm_options can't be read: {error}", where=where) from None
        for option in options:
            if _OPTION.fullmatch(option) is None:
                raise UsageError(
                    f"'{option}' is no long option of sbatch", where=where, hint="write --account=lab"
                )
            if (name := option[2:].partition("=")[0]) in _OURS:
                hint = (
                    "slurm_partitions names them" if name == "partition" else "the agent says it for each job"
                )
                raise UsageError(f"'--{name}' can't be set in slurm_options", where=where, hint=hint)
        return cls(options, tuple(settings["slurm_partitions"].split()))


def choose_partition(runs_on: Sequence[str], offered: Sequence[Partition]) -> Partition:
    """The one that a label names, else the owner's usual one. Raises RefusedError where none is offered any more."""
    labels = {label.lower() for label in runs_on}
    for partition in offered:
        if f"slurm-{partition.name.lower()}" in labels:
            return partition
    if not offered:
        raise RefusedError("Slurm has no partition for this agent's jobs")
    return offered[0]


def choose_gres(spec: JobSpec, count: int, partition: Partition) -> str:
    """`count` GPUs of one node, as `--gres` wants them; empty for none. Raises RefusedError where no node of the partition has them.

    The type is named where not every type will do. Slurm knows no *or*: of several the first that is enough is taken.
    """
    if not count:
        return ""
    kinds = {kind: describe_gpu(kind) for kind in partition.gpus}
    wanted = wanted_gpus(spec.resources, spec.runs_on, tuple(kinds.values()))
    fitting = [kind for kind, gpu in kinds.items() if matches(wanted, gpu)]
    enough = [kind for kind in fitting if count <= partition.gpus[kind]]
    if not enough:
        has = ", ".join(f"{most} {kind or 'of no type'}" for kind, most in partition.gpus.items())
        raise RefusedError(
            f"no node of Slurm's partition {partition.name} has {count} such GPUs of one type (at most: {has or 'none'})"
        )
    kind = UNTYPED if len(fitting) == len(kinds) else enough[0]
    return f"gpu:{kind}:{count}" if kind else f"gpu:{count}"


def make_arguments(
    spec: JobSpec, gpus: int, partition: Partition, owner: SlurmSettings, name: str, nodes: int = 1
) -> list[str]:
    """The options of `sbatch` for a job of its own name that has so many GPUs on each of its nodes. Raises RefusedError."""
    request = spec.resources
    minutes = _choose_minutes(spec, partition)
    grace = min(
        math.ceil((spec.cancel_timeout_minutes + _GRACE_MINUTES) * 60), minutes * 30, _MOST_GRACE_SECONDS
    )
    gres = choose_gres(spec, gpus, partition)
    return [
        *owner.options,
        *("--parsable", "--no-requeue", "--export=ALL", "--propagate=NONE", "--open-mode=append"),
        f"--job-name={name}",
        f"--comment={_clean(spec.key)}",
        f"--output={OUTPUT}",
        *((f"--partition={partition.name}",) if owner.partitions else ()),
        f"--nodes={nodes}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={_count_cpus(spec)}",
        *((f"--mem={math.ceil(request.memory_bytes / 2**20)}M",) if request.memory_bytes else ()),
        *((f"--gres={gres}",) if gres else ()),
        *((f"--time={minutes}",) if minutes else ()),
        *((f"--signal=B:{TIME_IS_NEAR.name.removeprefix('SIG')}@{grace}",) if minutes else ()),
    ]


def make_script(python: str, folders: Sequence[str], spec: JobSpec) -> str:
    """The batch script: it becomes the process that looks after the supervisor, so that signals for the script reach that.

    With several `folders`, one a node, it becomes the `srun` that starts one such process on each node, and passes signals on.
    """
    command = [python, "-P", "-X", "utf8", "-m", "agent.job.launch.allocation", *folders]
    if len(folders) > 1:
        # Each node ends by its own word: none is killed for another's. The cores are said again: srun takes none from sbatch.
        each = (
            "--ntasks-per-node=1",
            f"--cpus-per-task={_count_cpus(spec)}",
            "--wait=0",
            "--kill-on-bad-exit=0",
        )
        command = ["srun", f"--ntasks={len(folders)}", *each, "--export=ALL", "--unbuffered", *command]
    return f"#!/bin/sh\numask 077\nexec {shlex.join(command)}\n"


def _count_cpus(spec: JobSpec) -> int:
    return max(1, math.ceil(spec.resources.cpus))


def _choose_minutes(spec: JobSpec, partition: Partition) -> int:
    """Slurm's limit: later than the supervisor's own by what it takes to end well, and no more than the partition has; 0: none."""
    own = (
        math.ceil(spec.timeout_minutes + spec.cancel_timeout_minutes + _GRACE_MINUTES)
        if spec.timeout_minutes
        else 0
    )
    most = partition.limit_minutes or 0
    return min(own, most) if own and most else own or most


def _clean(text: str) -> str:
    """For people who look at the queue: what a flow says is no option, and has no line breaks."""
    return re.sub(r"[^\w ().,:/+-]+", "_", text)[:200]
