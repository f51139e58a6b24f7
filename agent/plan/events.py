"""Events of a run. They may arrive twice or late; a job that has ended ignores them."""

from dataclasses import dataclass

from agent.ids import JobId
from agent.spec.outcome import JobResult


@dataclass(frozen=True, slots=True)
class JobStarted:
    """An agent began with the job."""

    job: JobId


@dataclass(frozen=True, slots=True)
class JobFinished:
    """The job ended, by its own last word or because it was given up as lost."""

    job: JobId
    result: JobResult


@dataclass(frozen=True, slots=True)
class RunCancelled:
    """A person or a rule wants the run to end; `is_forced`: whatever the jobs' conditions say."""

    reason: str
    is_forced: bool = False


@dataclass(frozen=True, slots=True)
class TimePassed:
    """It is (about) the moment that `RunState.due_at` named."""


@dataclass(frozen=True, slots=True)
class GateSet:
    """The answer to `AskGate`: what the job's environment asks for; a `refusal` ends the job."""

    job: JobId
    approvals: int = 0
    wait_seconds: float = 0.0
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class JobApproved:
    """A person lets the job into its environment. Two words of one person are one approval."""

    job: JobId
    by: str


@dataclass(frozen=True, slots=True)
class JobRejected:
    """A person does not."""

    job: JobId
    by: str
    comment: str = ""


@dataclass(frozen=True, slots=True)
class GroupEntered:
    """The member (a job's key, or "" for the run) has its place in the concurrency group."""

    member: str
    group: str


@dataclass(frozen=True, slots=True)
class GroupLost:
    """The member shall end: a newer one took its place in the queue, or wants it out of the group."""

    member: str
    group: str
    reason: str


Event = (
    JobStarted
    | JobFinished
    | RunCancelled
    | TimePassed
    | GateSet
    | JobApproved
    | JobRejected
    | GroupEntered
    | GroupLost
)
