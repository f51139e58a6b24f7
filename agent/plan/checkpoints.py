"""A job's checkpoints, evaluated, and the steps around its own that keep them and bring the newest back."""

from collections.abc import Mapping, Sequence
from itertools import takewhile

from agent.flow.checkpoints import Checkpointing, read_checkpoints
from agent.flow.expressions import evaluate_template
from agent.flow.model import Job
from agent.plan.data import is_checkout
from agent.plan.state import JobState
from agent.spec.checkpoints import (
    ACTION,
    CHECKPOINT_STEP,
    LAST_CHECKPOINT_STEP,
    RESTORE_STEP,
    RESUME,
    Checkpoints,
)
from agent.spec.job import SpecStepKind, StepSpec

_ALWAYS = "always()"


def compile_checkpoints(job: Job, contexts: Mapping[str, object]) -> Checkpoints | None:
    """Those of a job, for an agent. Raises ExpressionError, UsageError."""
    value = evaluate_template(job.checkpoints, contexts)
    read: Checkpointing | None = read_checkpoints(value, f"{job.position}: checkpoints")
    if read is None:
        return None
    return Checkpoints(read.paths, read.every_seconds, read.grace_seconds, read.most_kept)


def resume_context(written: Job, job: JobState) -> Mapping[str, Mapping[str, object]]:
    """What the steps are told of the tries before; who hands the job out fills in the path, once it knows of one."""
    if not written.interruptible and written.checkpoints is None:
        return {}
    return {RESUME: {"attempt": float(job.attempt), "path": "", "reason": job.resume_reason}}


def add_checkpoint_steps(steps: Sequence[StepSpec], checkpoints: Checkpoints | None) -> tuple[StepSpec, ...]:
    """The steps with those around them; as they are where the job has no checkpoints.

    A checkout empties the folder that it fills: what is brought back comes after those that the job begins with.
    """
    if checkpoints is None:
        return tuple(steps)
    checkouts = list(takewhile(is_checkout, steps))
    rest = steps[len(checkouts) :]
    before = [
        _step(RESTORE_STEP, "Bring back the last checkpoint"),
        _step(CHECKPOINT_STEP, "Keep checkpoints while the job runs", background=True),
    ]
    return (*checkouts, *before, *rest, *_after(rest))


def _after(steps: Sequence[StepSpec]) -> list[StepSpec]:
    after = []
    own = tuple(step.id for step in steps if step.background)
    if own:
        name = "Wait for all background steps"
        after.append(
            StepSpec(SpecStepKind.WAIT, "__wait_for_checkpoint", name=name, condition=_ALWAYS, targets=own)
        )
    after.append(
        StepSpec(
            SpecStepKind.CANCEL,
            "__end_checkpoint",
            name="Stop keeping checkpoints",
            condition=_ALWAYS,
            targets=(CHECKPOINT_STEP,),
        )
    )
    return [*after, _step(LAST_CHECKPOINT_STEP, "Keep the last checkpoint", condition=_ALWAYS)]


def _step(step: str, name: str, *, condition: str = "success()", background: bool = False) -> StepSpec:
    return StepSpec(
        SpecStepKind.USES, step, name=name, uses=ACTION, condition=condition, background=background
    )
