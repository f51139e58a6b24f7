"""A job's data in and out, evaluated: of what is known before the job is queued, plain text."""

from collections.abc import Mapping

from agent.errors import UsageError
from agent.flow.expressions import evaluate_template, to_text
from agent.flow.model import BroughtData, Job, KeptData, Position, Template
from agent.spec.data import Bring, BringKind, Keep, KeepKind

_Contexts = Mapping[str, object]


def evaluate_brings(job: Job, contexts: _Contexts) -> tuple[Bring, ...]:
    """What the job is brought. Raises ExpressionError, and UsageError for a source that came out empty."""
    return tuple(_bring(written, contexts) for written in job.brings)


def evaluate_keeps(job: Job, contexts: _Contexts) -> tuple[Keep, ...]:
    """What is kept of the job's. Raises ExpressionError, and UsageError for a path that came out empty."""
    return tuple(_keep(written, contexts) for written in job.keeps)


def _bring(written: BroughtData, contexts: _Contexts) -> Bring:
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


def _keep(written: KeptData, contexts: _Contexts) -> Keep:
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
    )


def _text(template: Template, contexts: _Contexts) -> str:
    return to_text(evaluate_template(template, contexts))


def _nothing(position: Position, complaint: str) -> UsageError:
    return UsageError(complaint, where=str(position), hint="its expression gives the empty text")
