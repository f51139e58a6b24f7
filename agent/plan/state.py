"""A run's state, as stored between events.

A *node* is a job of the flow file; when its needs have ended it expands into *jobs*, one for each cell of its
matrix (one job when there is none). Both are named by keys that stay the same for the run's life: `train`,
`train (a100, 2)`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from agent.ids import JobId, RunId
from agent.spec.job import Source
from agent.spec.outcome import Conclusion, JobResult

_NOTHING: Mapping[str, object] = MappingProxyType({})


class JobPhase(StrEnum):
    """The life of a job in a run; `agent.plan.transitions` says what follows what."""

    HELD = "held"  # expanded, but its node's `max-parallel` is reached
    QUEUED = "queued"  # offered to agents
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Everything that a run is started with; it never changes afterwards."""

    run: RunId
    number: int  # of this flow, from 1
    seed: bytes  # entropy for the jobs' identifiers, so that planning the same run again gives the same ones
    attempt: int = 1
    github: Mapping[str, object] = field(default_factory=lambda: _NOTHING)  # the `github` context, less `job`
    inputs: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    vars: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    secrets: tuple[str, ...] = ()  # the names that exist; values never come near the planner
    source: Source = field(default_factory=Source)
    only_jobs: tuple[str, ...] = ()  # run these and what they need; empty: all
    only_cells: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # matrix key -> value
    pins: Mapping[str, str] | None = None  # what flow.lock holds each `uses:` to; None: there is no lock


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


@dataclass(frozen=True, slots=True)
class NodeState:
    """One job of the flow file. `result` is set when all of its jobs have ended; it is what `needs` sees."""

    jobs: tuple[str, ...] = ()
    is_expanded: bool = False
    fail_fast: bool = True
    max_parallel: int = 0  # 0: no limit
    result: Conclusion | None = None
    outputs: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class RunState:
    """The whole of a run as the planner sees it. `nodes` and `jobs` are in the flow file's order."""

    request: RunRequest
    nodes: Mapping[str, NodeState]
    jobs: Mapping[str, JobState] = field(default_factory=lambda: MappingProxyType({}))
    cancel_reason: str | None = None
    conclusion: Conclusion | None = None

    def job_by_id(self, job: JobId) -> JobState | None:
        """The job with this identifier, when it is part of the run."""
        return next((state for state in self.jobs.values() if state.id == job), None)
