"""What the planner wants done. Each may be carried out twice without harm."""

from dataclasses import dataclass

from agent.ids import JobId
from agent.spec.job import JobSpec
from agent.spec.outcome import Conclusion, JobResult


@dataclass(frozen=True, slots=True)
class QueueJob:
    """Offer this job to the agents."""

    spec: JobSpec


@dataclass(frozen=True, slots=True)
class CancelJob:
    """End this job, queued or running; its end comes back as `JobFinished`."""

    job: JobId
    reason: str


@dataclass(frozen=True, slots=True)
class EndJob:
    """This job ended without running: skipped, cancelled, or impossible to compile."""

    job: JobId
    key: str
    result: JobResult


@dataclass(frozen=True, slots=True)
class EndRun:
    """All jobs have ended."""

    conclusion: Conclusion


Decision = QueueJob | CancelJob | EndJob | EndRun
