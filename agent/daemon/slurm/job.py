"""A job that is Slurm's, as the daemon sees it.

    new --sbatch has said its number--> queued
    new --sbatch gives no answer--> doubtful
    doubtful --the queue has its name--> queued
    doubtful --the queue does not have its name--> new
    queued --its supervisor has begun--> running
    queued --the controller has lost it--> new
    new, queued, running --it is over--> ended

Its number is noted in the job folder (`slurm.json`) before anything else is done with it; the rest is seen again by who looks.
"""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from agent.daemon.job import Fate
from agent.errors import DamagedError, SpoiledError
from agent.job.launch.launcher import JobFolder
from agent.plain_files import read_plain
from agent.seal.files import write_private_file
from agent.spec.job import GangNode
from agent.spec.outcome import FailureKind
from agent.states import Transitions

_NOTE = "slurm.json"
_MOST_BYTES = 1 << 16


class SlurmJobState(StrEnum):
    """Where a job stands on its way through Slurm."""

    NEW = "new"  # not handed over
    DOUBTFUL = "doubtful"  # handed over, or not: the answer was lost
    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"


SLURM_JOBS: Final = Transitions(
    "job in Slurm",
    frozenset({SlurmJobState.NEW, SlurmJobState.DOUBTFUL, SlurmJobState.QUEUED}),
    {
        SlurmJobState.NEW: frozenset({SlurmJobState.QUEUED, SlurmJobState.DOUBTFUL, SlurmJobState.ENDED}),
        SlurmJobState.DOUBTFUL: frozenset({SlurmJobState.QUEUED, SlurmJobState.NEW}),
        SlurmJobState.QUEUED: frozenset({SlurmJobState.RUNNING, SlurmJobState.NEW, SlurmJobState.ENDED}),
        SlurmJobState.RUNNING: frozenset({SlurmJobState.ENDED}),
        SlurmJobState.ENDED: frozenset(),
    },
)


@dataclass(slots=True)
class SlurmJob:
    """One attempt. Times are of time.monotonic."""

    folder: JobFolder
    state: SlurmJobState = SlurmJobState.NEW
    name: str = (
        ""  # in Slurm: no other attempt has it, so that it is found when the answer of sbatch was lost
    )
    node: GangNode | None = (
        None  # its place among those that one allocation runs together, under one name and number
    )
    number: int = 0  # Slurm's; 0: none yet
    cancelled: str = ""  # why it is to end, when that was asked
    refused: str = ""  # why Slurm does not take it
    last_state: str = ""  # Slurm's word for how it stands
    waiting: str = ""  # why it waits there
    given_node: str = ""  # that it was given and did not begin on, as far as we have heard
    signal: int = 0  # that ended its supervisor
    seen_at: float = 0.0  # when the queue had it last
    over_at: float = field(default=float("inf"))  # when the queue said that it is over

    def become(self, state: SlurmJobState) -> None:
        """Go on to `state`. Raises ImpossibleTransitionError."""
        SLURM_JOBS.check(self.state, state)
        self.state = state

    @property
    def is_led(self) -> bool:
        """Whether another one, the first of its nodes, is handed over for it."""
        return self.node is not None and self.node.rank > 0

    @property
    def fate(self) -> Fate | None:
        """What is known of its end beside Slurm's word."""
        if self.refused:
            return Fate(FailureKind.INFRASTRUCTURE, f"Slurm does not take the job: {self.refused}")
        return Fate(FailureKind.CANCELLED, self.cancelled) if self.cancelled else None

    def note(self) -> None:
        """Write down what a daemon that comes after this one must know. Raises OSError."""
        values = {
            "name": self.name,
            "number": self.number,
            "cancelled": self.cancelled,
            "refused": self.refused,
        }
        write_private_file(self.folder.path / _NOTE, json.dumps(values).encode())


def make_job(folder: JobFolder) -> SlurmJob:
    """A job that is to be handed over. Raises DamagedError."""
    return SlurmJob(folder, name=f"flow-{folder.name}", node=folder.read_settings().node)


def read_job(folder: JobFolder) -> SlurmJob | None:
    """The job as it was noted; None when nobody has begun to hand it over. Raises DamagedError."""
    file = folder.path / _NOTE
    try:
        noted = json.loads(read_plain(file, _MOST_BYTES))
        job = SlurmJob(folder, SlurmJobState.DOUBTFUL, str(noted["name"]))
        job.number = int(noted["number"])
        job.cancelled, job.refused = str(noted["cancelled"]), str(noted["refused"])
    except FileNotFoundError:
        return None
    except SpoiledError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"'{_NOTE}' can't be read: {error}", where=str(file)) from None
    job.node = folder.read_settings().node
    if job.number:
        job.become(SlurmJobState.QUEUED)
    return job
