"""A job's data in and out, evaluated: of what is known before the job is queued, plain text."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from agent.errors import UsageError
from agent.flow.expressions import evaluate_template, to_text
from agent.flow.model import Job, Position, Template
from agent.plan.scopes import join_key
from agent.spec.data import BRING_STEP, KEEP_STEP, LIVE_STEP, Bring, BringKind, Keep, KeepKind
from agent.spec.job import SpecStepKind, StepSpec

if TYPE_CHECKING:
    from agent.flow.data import BroughtData, KeptData

_ALWAYS = "always()"
_Contexts = Mapping[str, object]


def evaluate_brings(job: Job, contexts: _Contexts, scope: str = "") -> tuple[Bring, ...]:
    """What a job of the called flow `scope` is brought. Raises ExpressionError, and UsageError for a source that came out empty."""
    found = (evaluate_bring(written, contexts) for written in job.brings)
    return tuple(
        replace(bring, of=join_key(scope, bring.of)) if bring.kind is BringKind.JOB else bring
        for bring in found
    )


def evaluate_keeps(job: Job, contexts: _Contexts) -> tuple[Keep, ...]:
    """What is kept of the job's. Raises ExpressionError, and UsageError for a path that came out empty."""
    return tuple(_keep(written, contexts) for written in job.keeps)


def add_data_steps(
    steps: Sequence[StepSpec], brings: Sequence[Bring], keeps: Sequence[Keep]
) -> tuple[StepSpec, ...]:
    """The steps with those around them that bring and keep; as they are where there is nothing to do.

    A checkout empties the folder that it fills: what is brought comes after those that the job begins with.
    """
    checkouts = list(takewhile(is_checkout, steps))
    rest = steps[len(checkouts) :]
    return (*checkouts, *_before(brings, keeps), *rest, *_after(rest, keeps))


def _before(brings: Sequence[Bring], keeps: Sequence[Keep]) -> list[StepSpec]:
    before = []
    if brings or any(keep.is_made for keep in keeps):
        name = "Bring data" if brings else "Make the folders that are kept"
        before.append(_action(BRING_STEP, name, "bring"))
    if any(keep.live for keep in keeps):
        before.append(_action(LIVE_STEP, "Keep data while the job runs", "keep", background=True))
    return before


def _after(steps: Sequence[StepSpec], keeps: Sequence[Keep]) -> list[StepSpec]:
    """Whoever still writes has ended by then."""
    if not keeps:
        return []
    after = []
    if any(keep.live for keep in keeps):
        after.append(
            StepSpec(
                SpecStepKind.CANCEL,
                "__end_keep_live",
                name="Stop keeping while the job runs",
                condition=_ALWAYS,
                targets=(LIVE_STEP,),
            )
        )
    if any(step.background for step in steps):
        name = "Wait for all background steps"
        after.append(StepSpec(SpecStepKind.WAIT_ALL, "__wait_for_background", name=name, condition=_ALWAYS))
    is_always = any(keep.outlives_failure for keep in keeps)
    keeping = _action(KEEP_STEP, "Keep data", "keep", condition=_ALWAYS if is_always else "success()")
    return [*after, keeping]


def _action(step: str, name: str, action: str, **fields: Any) -> StepSpec:
    return StepSpec(SpecStepKind.USES, step, name=name, uses=f"flow-agent/{action}@v1", **fields)


def is_checkout(step: StepSpec) -> bool:
    """Whether the step is somebody's action of that name: `owner/checkout@ref`."""
    return (step.uses or "").partition("@")[0].rpartition("/")[2] == "checkout"


def evaluate_bring(written: "BroughtData", contexts: _Contexts) -> Bring:
    """One thing that a job is brought. Raises as `evaluate_brings`."""
    kind, of = BringKind(written.kind), _text(written.of, contexts)
    if not of and kind is not BringKind.TEXT:
        raise _nothing(written.position, f"the {kind} to bring has no name")
    return Bring(
        kind,
        of,
        path=_text(written.path, contexts),
        name=_text(written.name, contexts),
        job=_text(written.job, contexts),
        project=_text(written.project, contexts),
        in_data=written.in_data,
        is_read_only=written.is_read_only,
        is_optional=written.is_optional,
        place=str(written.position),
    )


def _keep(written: "KeptData", contexts: _Contexts) -> Keep:
    path = _text(written.path, contexts)
    if not path:
        raise _nothing(written.position, f"the {written.kind} to keep has no path")
    return Keep(
        KeepKind(written.kind),
        path,
        name=_text(written.name, contexts),
        always=written.always,
        live=written.live,
        in_data=written.in_data,
        place=str(written.position),
        makes_folder=written.makes_folder,
    )


def _text(template: Template, contexts: _Contexts) -> str:
    return to_text(evaluate_template(template, contexts))


def _nothing(position: Position, complaint: str) -> UsageError:
    return UsageError(complaint, where=str(position), hint="its expression gives the empty text")
