"""What can happen to a run. Events may arrive twice or late; a job that has ended ignores them."""

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
    """A person or a rule wants the run to end."""

    reason: str


Event = JobStarted | JobFinished | RunCancelled
