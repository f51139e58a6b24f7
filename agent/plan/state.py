"""A run's state, as stored between events.

A *node* is a job of a flow file; when its needs have ended it expands into *jobs*, one for each cell of its matrix
(one job when there is none). A job that calls another flow opens a *scope*, named by the job's key, with the nodes of
that flow in it. Nodes and jobs are named by keys that stay the same for the run's life: `train`,
`train (a100, 2)`, `deploy / push (eu)`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from agent.ids import JobId, RunId
from agent.spec.event_apart import EventApart
from agent.spec.job import Contexts, Source
from agent.spec.outcome import Conclusion, JobResult

_NOTHING: Mapping[str, object] = MappingProxyType({})


class JobPhase(StrEnum):
    """The life of a job in a run; `agent.plan.transitions` says what follows what."""

    HELD = "held"  # expanded, but its node's `max-parallel` is reached
    GATED = "gated"  # its environment does not let it pass yet
    GROUPED = "grouped"  # waits for its place in a concurrency group
    QUEUED = "queued"  # offered to agents
    RUNNING = "running"
    CALLING = "calling"  # another flow runs in its place
    RESTING = "resting"  # failed, and waits until it is tried again
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class RunStart:
    """Everything that a run is started with; a re-run changes `attempt` and what follows from it, nothing else."""

    run: RunId
    number: int  # of this flow, from 1
    seed: bytes  # entropy for the jobs' identifiers, so that planning the same run again gives the same ones
    attempt: int = 1
    contexts: Contexts = field(
        default_factory=lambda: MappingProxyType({})
    )  # those that the flow's language brings
    inputs: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    vars: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    secrets: tuple[str, ...] = ()  # the names that exist; values never come near the planner
    sees_secrets: bool = True  # False: a stranger's code runs; it is handed none, whatever is set meanwhile
    source: Source = field(default_factory=Source)
    only_jobs: tuple[str, ...] = ()  # run these and what they need; empty: all
    only_cells: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # matrix key -> value
    pins: Mapping[str, str] | None = None  # what flow.lock holds each `uses:` to; None: there is no lock
    hold_minutes: float = 0.0  # a job that fails waits for so long, for somebody to look; 0: none does
    labels: tuple[str, ...] = ()  # that agents need for any of its jobs, beside what the flow asks for
    event_apart: EventApart | None = None  # a long event, that the stored state hasn't in its contexts


@dataclass(frozen=True, slots=True)
class GroupPlace:
    """A concurrency group that a run or a job must be in while it runs."""

    group: str
    cancel_in_progress: bool = False
    queue: str = "single"  # or max: how many may wait
    is_held: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """What stands between a job and its environment. Times are seconds since the epoch."""

    environment: str
    is_known: bool = False  # the driver has said what the environment asks for
    approvals: int = 0  # how many it asks for
    approved_by: tuple[str, ...] = ()
    opens_at: float = 0.0  # the end of the wait timer
    closes_at: float = 0.0  # when nobody will be waited for any longer


@dataclass(frozen=True, slots=True)
class JobState:
    """One job of the run."""

    id: JobId
    key: str
    node: str
    index: int  # of its node's cells, from 0
    phase: JobPhase = JobPhase.HELD
    cell: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    label: str = ""  # the cell's values as shown in the job's name
    result: JobResult | None = None
    continue_on_error: bool = False
    cancel_requested: bool = False
    run_attempt: int = 1  # the attempt of the run that it belongs to; a re-run keeps jobs of earlier ones
    attempt: int = 1  # of this job in that: grows with each retry
    stands_in: bool = False  # for a node that ended without being expanded
    places: tuple[GroupPlace, ...] = ()  # its concurrency groups, in the order in which they are entered
    gate: Gate | None = None
    retry_at: float | None = None  # when a RESTING job is tried again
    resume_reason: str = ""  # why it is tried again: an agent.spec.checkpoints.ResumeReason
    interruptions: int = 0  # of its tries
    losses: int = 0  # of its tries, those that its checkpoints made good
    ranked_at: float | None = None  # when it was queued first: its place in the queue


@dataclass(frozen=True, slots=True)
class NodeState:
    """One job of the flow file. `result` is set when all of its jobs have ended; it is what `needs` sees."""

    jobs: tuple[str, ...] = ()
    is_expanded: bool = False
    fail_fast: bool = True
    max_parallel: int = 0  # 0: no limit
    result: Conclusion | None = None
    outputs: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class ScopeState:
    """A called flow: what it was given. Its nodes stand among the run's."""

    inputs: Mapping[str, object] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class RunState:
    """The whole of a run as the planner sees it. `nodes` and `jobs` are in the flow file's order."""

    request: RunStart
    nodes: Mapping[str, NodeState]
    jobs: Mapping[str, JobState] = field(default_factory=lambda: MappingProxyType({}))
    scopes: Mapping[str, ScopeState] = field(default_factory=lambda: MappingProxyType({}))
    place: GroupPlace | None = None  # the run's own concurrency group
    cancel_reason: str | None = None
    is_forced: bool = False  # cancelled, and no condition keeps a job going
    conclusion: Conclusion | None = None

    def job_by_id(self, job: JobId) -> JobState | None:
        """The job with this identifier, when it is part of the run."""
        return next((state for state in self.jobs.values() if state.id == job), None)

    @property
    def due_at(self) -> float | None:
        """The next moment at which the passing of time alone changes something; None: none will."""
        if self.conclusion is not None:
            return None
        return min((due for job in self.jobs.values() for due in _dues(job)), default=None)


def _dues(job: JobState) -> tuple[float, ...]:
    if job.phase is JobPhase.RESTING and job.retry_at is not None:
        return (job.retry_at,)
    gate = job.gate
    if job.phase is not JobPhase.GATED or gate is None or not gate.is_known:
        return ()
    return (gate.closes_at,) if len(gate.approved_by) < gate.approvals else (gate.opens_at,)
