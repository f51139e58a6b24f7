"""Decisions of the planner. Each may be carried out twice without harm."""

from dataclasses import dataclass

from agent.ids import JobId
from agent.plan.state import GroupPlace
from agent.spec.job import JobSpec
from agent.spec.outcome import Conclusion, JobResult


@dataclass(frozen=True, slots=True)
class QueueJob:
    """Offer this job to the agents; it has the place in the queue of one that came at `ranked_at` (None: now)."""

    spec: JobSpec
    ranked_at: float | None = None


@dataclass(frozen=True, slots=True)
class CancelJob:
    """End this job, queued or running; its end comes back as `JobFinished`, unless it `is_forced`: then it has ended."""

    job: JobId
    reason: str
    is_forced: bool = False


@dataclass(frozen=True, slots=True)
class EndJob:
    """This job ended without running: skipped, cancelled, or impossible to compile."""

    job: JobId
    key: str
    result: JobResult
    name: str = ""  # to show; empty: its key


@dataclass(frozen=True, slots=True)
class ExplainEnd:
    """A job that has ended, as its own word told, is told of otherwise."""

    job: JobId
    result: JobResult


@dataclass(frozen=True, slots=True)
class AskGate:
    """Say what the environment asks for before the job may run; comes back as `GateSet`."""

    job: JobId
    key: str
    environment: str


@dataclass(frozen=True, slots=True)
class JoinGroup:
    """Get the member (a job's key, or "" for the run) a place in the group: `GroupEntered` or `GroupLost` comes back."""

    member: str
    place: GroupPlace


@dataclass(frozen=True, slots=True)
class LeaveGroup:
    """The member needs its place no more, whether it has it yet or not."""

    member: str
    group: str


@dataclass(frozen=True, slots=True)
class EndRun:
    """All jobs have ended."""

    conclusion: Conclusion


Decision = QueueJob | CancelJob | EndJob | ExplainEnd | AskGate | JoinGroup | LeaveGroup | EndRun
