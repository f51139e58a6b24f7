"""A step's turn, and how it ended."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.errors import AgentError
from agent.flow.expressions import to_text
from agent.job.commands.effects import Effects
from agent.job.output.recorder import StepLog
from agent.job.steps.actions import Instance
from agent.job.steps.contexts import evaluate_value
from agent.job.steps.state import RunningJob, StepScope
from agent.job.steps.steprun import StepStage
from agent.journal.format import Annotation
from agent.spec.job import SpecStepKind, StepSpec
from agent.spec.outcome import Conclusion, FailureKind

# Outcome and conclusion.
SUCCESS = (Conclusion.SUCCESS, Conclusion.SUCCESS)
FAILED = (Conclusion.FAILURE, Conclusion.FAILURE)
CANCELLED = (Conclusion.CANCELLED, Conclusion.CANCELLED)

_CONTROL_NAMES = {
    SpecStepKind.WAIT: "Wait",
    SpecStepKind.WAIT_ALL: "Wait for all",
    SpecStepKind.CANCEL: "Cancel",
}


@dataclass(slots=True)
class StepEnd:
    """How one turn of a step ended."""

    outcome: Conclusion
    conclusion: Conclusion
    effects: Effects = field(default_factory=Effects)
    kind: FailureKind = FailureKind.USER
    message: str = ""
    is_said: bool = False  # the log tells it already
    exit_code: int | None = None


@dataclass(slots=True)
class Turn:
    """One stage of one step, about to have its turn."""

    spec: StepSpec
    scope: StepScope
    stage: StepStage
    name: str
    condition: str
    instance: Instance | None = None

    @property
    def step_id(self) -> str:
        """Under which the journal knows it."""
        return self.spec.id if self.stage is StepStage.MAIN else f"__{self.stage.value}_{self.spec.id}"

    @property
    def own(self) -> Mapping[str, object]:
        """Members of `github` that are this step's."""
        return {"action": self.spec.id}

    @property
    def path(self) -> tuple[str, ...]:
        """Ids from the job down to this step."""
        return (*self.scope.path, self.spec.id)


def name_step(job: RunningJob, spec: StepSpec, scope: StepScope) -> str:
    """What to call a step: as far as its name can be known before its turn."""
    if spec.name:
        template = spec.name
    elif spec.kind is SpecStepKind.RUN:
        lines = str(spec.run or "").strip().splitlines()
        template = f"Run {lines[0] if lines else ''}"
    else:
        return f"Run {spec.uses}" if spec.uses else _CONTROL_NAMES.get(spec.kind, spec.id)
    try:
        return to_text(
            evaluate_value(job, scope, {**job.environment.values, **scope.env}, template, spec.place)
        )
    except AgentError:
        return to_text(template)


async def settle(task: "asyncio.Task[object] | asyncio.Task[None] | asyncio.Task[StepEnd]") -> None:
    """Wait until `task` is done, however it ends. When the waiting is cancelled, the task is ended first."""
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        raise


def report(log: StepLog, message: str) -> None:
    """An error in the log, and as an annotation."""
    log.say(f"##[error]{message}")
    log.recorder.annotate(Annotation(log.step, "error", message))
