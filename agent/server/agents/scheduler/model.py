"""The scheduler's model: what it is told, and what it says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from agent.spec.request import NOTHING, PRIORITY_SECONDS, ResourceRequest
from agent.spec.resources import Gpu, GpuLink

FOREVER = float("inf")
DEFAULT_PROJECT = 1
_NOBODY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class JobShape:
    """All that decides where a job can go: jobs of one shape fare alike. Labels in lower case."""

    labels: frozenset[str] = frozenset()
    group: str = ""
    project: int = DEFAULT_PROJECT
    request: ResourceRequest = NOTHING
    nodes: int = 1
    limit_seconds: float = FOREVER  # it is ended after so long


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A queued job; `refused` maps agents that said no a moment ago to their reasons."""

    id: str
    shape: JobShape
    shown_labels: tuple[str, ...] = ()
    priority: int = 0
    queued_at: float = 0.0
    title: str = ""
    refused: Mapping[str, str] = field(default_factory=lambda: _NOBODY)
    ranked_at: float | None = (
        None  # its place, of one that was queued before; None: it follows from the above
    )
    is_interruptible: bool = False

    @property
    def rank(self) -> float:
        """Its place among the jobs of its project: when it was queued first, sooner or later by its priority."""
        if self.ranked_at is not None:
            return self.ranked_at
        return self.queued_at - self.priority * PRIORITY_SECONDS


@dataclass(frozen=True, slots=True)
class ReturningJob:
    """A job that runs on `agent`, has given its room there back, and goes on as soon as it has room again."""

    job: WaitingJob
    agent: str


@dataclass(frozen=True, slots=True)
class ReadyAgent:
    """A connected agent; `labels` and `group` in lower case; `projects` None: it works for all of them."""

    id: str
    name: str
    labels: frozenset[str]
    shown_labels: tuple[str, ...]
    slots: int
    group: str = ""
    is_draining: bool = False
    is_ephemeral: bool = False
    projects: frozenset[int] | None = None
    cpus: float = 0.0
    memory_bytes: int = 0
    gpus: tuple[Gpu, ...] = ()
    links: tuple[GpuLink, ...] = ()
    share: str = ""  # which of its machine's GPUs are not its own, in words; empty: all are
    has_queue: bool = False  # hands its jobs to a cluster, which has them wait (agent.spec.room)
    address: str = ""  # where the other members of a gang reach it
    boot: str = ""  # of its machine: of two that say to be this agent, one is a copy
    protocol: int = 0  # the version that it speaks


@dataclass(frozen=True, slots=True)
class Stake:
    """What a running job that is interruptible loses when it is."""

    priority: int = 0
    started_at: float = 0.0
    kept_at: float = 0.0  # when its last checkpoint was kept, or it began
    is_again: bool = False  # it was tried before
    is_leaving: bool = False  # it was told to make place, and has not ended yet


@dataclass(frozen=True, slots=True)
class Holding:
    """What a job has on an agent. `gpus` are UUIDs; `ends_at` is the latest that it may last."""

    job: str
    agent: str
    title: str = ""
    project: int = DEFAULT_PROJECT
    request: ResourceRequest = NOTHING
    gpus: tuple[str, ...] = ()
    ends_at: float = FOREVER
    ranked_at: float = 0.0  # its place in the queue of its project, as it was
    stake: Stake | None = None  # None: nobody may interrupt it


@dataclass(frozen=True, slots=True)
class Project:
    """A project's claim: `weight` against the others' of its `priority`, and its limits; None is no limit."""

    id: int = DEFAULT_PROJECT
    name: str = "default"
    weight: float = 1.0
    priority: int = 0
    most_running: int | None = None
    most_gpus: int | None = None


@dataclass(frozen=True, slots=True)
class Seat:
    """A job's place on one agent. `gpus` are the UUIDs of the GPUs that are its own there."""

    agent: str
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pick:
    """A job to assign now; more than one seat is a gang, the first its leader."""

    job: str
    seats: tuple[Seat, ...]


@dataclass(frozen=True, slots=True)
class Interruption:
    """A running job that has to make place now, and for whom, in words."""

    job: str
    reason: str


@dataclass(frozen=True, slots=True)
class Choice:
    """`picks` to assign now. `waits`: why each other job waits. `kept`: agents that are kept for a waiting job. `returns`: the jobs
    that have their room again.
    """

    picks: tuple[Pick, ...]
    waits: Mapping[str, str]
    kept: Mapping[str, str]
    returns: tuple[Pick, ...] = ()
    interruptions: tuple[Interruption, ...] = ()
