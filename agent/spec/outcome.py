"""Outcomes of steps and jobs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Conclusion(StrEnum):
    """How a step, job or run ended. A step has two: `outcome` before `continue-on-error`, `conclusion` after it."""

    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    INTERRUPTED = "interrupted"  # of a try alone: the job has another one


class FailureKind(StrEnum):
    """Whose fault a failure was: so that an infrastructure failure never looks like the user's (docs/jobs.md)."""

    USER = "user"  # a step's command or action failed
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"  # nobody's: a job that comes before it took its place
    LOST = "lost"  # the supervisor died or the agent vanished
    OOM = "oom"
    GPU = "gpu"
    IMAGE = "image"
    ACTION = "action"  # a `uses:` could not be resolved
    INFRASTRUCTURE = "infrastructure"  # disk full, no shell, a bug of ours


@dataclass(frozen=True, slots=True)
class JobResult:
    """How one attempt at a job ended: the last word of its journal."""

    conclusion: Conclusion
    # Text; of a job whose language has values, JSON of any kind.
    outputs: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    failure_kind: FailureKind | None = None
    message: str = ""  # one sentence for a person, when it did not succeed
    exit_code: int | None = None  # of the command that failed the job, where one did
    environment_url: str = ""  # where what was deployed can be seen

    @property
    def was_refused(self) -> bool:
        """It was skipped because the machine that had to can't run it: nobody's wish, and so no run is green with it."""
        return self.conclusion is Conclusion.SKIPPED and self.failure_kind is not None
