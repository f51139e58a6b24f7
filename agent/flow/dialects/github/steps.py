"""A job's steps: their six forms, their ids, and who may wait for whom."""

import re
from dataclasses import dataclass, field

from agent.flow.dialects.github.parts import (
    is_expression,
    list_fields,
    list_items,
    map_of,
    read_condition,
    template_of,
    text_of,
    texts_of,
)
from agent.flow.dialects.github.table.contexts import STEP_IF
from agent.flow.identifiers import StepIds, name_action
from agent.flow.model import Step, StepKind
from agent.flow.reading import Reader
from agent.flow.resources import read_minutes
from agent.flow.source import Mapping, Node, Scalar, Sequence
from agent.redaction import redact

# What the steps without a script of their own are called, and made an id from.
_CONTROL_NAMES = {
    StepKind.WAIT: "Wait",
    StepKind.WAIT_ALL: "Wait for all",
    StepKind.CANCEL: "Cancel",
    StepKind.PARALLEL: "Parallel group",
}
_REPOSITORY = r"[^/\\@]+[/\\]+[^/\\@]+(?:[/\\][^@]*)?@[^@]+"


@dataclass(slots=True)
class _JobSteps:
    """What holds for all steps of one job while they are read."""

    reader: Reader
    ids: StepIds = field(default_factory=StepIds)
    written: dict[int, str] = field(default_factory=dict)  # by node: ids that were written, and are free
    known: set[str] = field(default_factory=set)  # ids of the steps above


def read_steps(reader: Reader, node: Node | None) -> tuple[Step, ...]:
    """All steps of a job."""
    job = _JobSteps(reader)
    _take_written_ids(job, node)
    return tuple(_read_step(job, item) for item in _list_steps(node))


def check_uses(reader: Reader, node: Node) -> None:
    """Report a step's `uses` that names nothing an action could be at."""
    uses = text_of(node)
    if uses.startswith(("docker://", "./", ".\\", "$/")) or is_expression(node):
        return
    if check_credentials(reader, node):
        return
    if uses.startswith("https://"):
        uses = uses.removeprefix("https://").partition("/")[2]
    if uses and not re.fullmatch(_REPOSITORY, uses):
        hint = "name a version, such as `@v4`" if "/" in uses and "@" not in uses else ""
        reader.report(node, f"Expected format {{org}}/{{repo}}[/path]@ref. Actual '{text_of(node)}'", hint)


def check_credentials(reader: Reader, node: Node) -> bool:
    """Report a `uses` whose URL holds credentials: whoever may read the flow may read them. Whether it does."""
    has_some = redact(text_of(node)) != text_of(node)
    if has_some:
        hint = (
            "keep them in git's own configuration, and renew them: this file has shown them (docs/actions.md)"
        )
        reader.report(node, "a flow holds no credentials: this URL does", hint)
    return has_some


def _list_steps(node: Node | None) -> list[Node]:
    return [item for item in node.items if isinstance(item, Mapping)] if isinstance(node, Sequence) else []


def _take_written_ids(job: _JobSteps, node: Node | None) -> None:
    for item in _list_steps(node):
        fields = list_fields(item)
        identifier = fields.get("id")
        if isinstance(identifier, Scalar) and text_of(identifier):
            complaint = job.ids.add(text_of(identifier))
            if complaint:
                job.reader.report(identifier, complaint)
            else:
                job.written[id(item)] = text_of(identifier)
        _take_written_ids(job, fields.get("parallel"))


def _read_step(job: _JobSteps, node: Node, *, group: Node | None = None) -> Step:
    fields = list_fields(node)
    kind = next((kind for kind in StepKind if kind.value in fields), StepKind.RUN)
    if group is not None:
        _check_parallel(job.reader, group, fields, kind)
    if kind in _CONTROL_NAMES:
        return _read_control_step(job, node, fields, kind)
    own_id = job.written.get(id(node))
    uses = fields.get("uses")
    if uses is not None:
        check_uses(job.reader, uses)
    step = Step(
        kind,
        own_id or job.ids.generate(name_action(text_of(uses)) if kind is StepKind.USES else "run"),
        node.position,
        name=template_of(fields.get("name")),
        condition=read_condition(job.reader, fields.get("if"), STEP_IF),
        run=template_of(fields.get("run")),
        shell=text_of(fields["shell"]) if "shell" in fields else None,
        working_directory=template_of(fields.get("working-directory")),
        uses=text_of(uses) if uses is not None else None,
        with_=map_of(fields.get("with")),
        env=template_of(fields.get("env")),
        continue_on_error=template_of(fields.get("continue-on-error"), default=False),
        timeout_minutes=read_minutes(job.reader, fields.get("timeout-minutes")),
        background=group is not None or template_of(fields.get("background")) is True,
    )
    if own_id:
        job.known.add(own_id.lower())
    return step


def _read_control_step(job: _JobSteps, node: Node, fields: dict[str, Node], kind: StepKind) -> Step:
    own_id = job.written.get(id(node))
    targets: tuple[str, ...] = ()
    children: tuple[Step, ...] = ()
    value = fields[kind.value]
    if kind in {StepKind.WAIT, StepKind.CANCEL}:
        targets = texts_of(value)
        for item in list_items(value):
            _check_target(job, item, own_id)
    elif kind is StepKind.WAIT_ALL and template_of(value) is False:
        job.reader.report(value, "The value of 'wait-all' must be true or omitted")
    elif kind is StepKind.PARALLEL:
        children = tuple(_read_step(job, item, group=node) for item in _list_steps(value))
    if own_id:
        job.known.add(own_id.lower())
    return Step(
        kind,
        own_id or job.ids.generate(kind.value),
        node.position,
        name=template_of(fields.get("name")) or _CONTROL_NAMES[kind],
        condition="always()",
        continue_on_error=template_of(fields.get("continue-on-error"), default=False),
        targets=targets,
        children=children,
    )


def _check_target(job: _JobSteps, node: Node, own_id: str | None) -> None:
    target = text_of(node)
    if target.startswith("__"):
        job.reader.report(node, f"The identifier '{target}' is invalid. IDs starting with '__' are reserved.")
    elif own_id is not None and target.lower() == own_id.lower():
        job.reader.report(node, f"Step '{own_id}' cannot reference itself")
    elif target and target.lower() not in job.known:
        job.reader.report(
            node,
            f"Step references unknown step ID '{target}'",
            "only steps above with an `id` can be waited for",
        )


def _check_parallel(reader: Reader, group: Node, fields: dict[str, Node], kind: StepKind) -> None:
    """Report at the group, as GitHub does, what one of its steps may not be."""
    if kind is StepKind.PARALLEL:
        reader.report(group, "Nested 'parallel' blocks are not allowed.")
    elif kind in _CONTROL_NAMES:
        reader.report(group, f"'{kind.value}' is not allowed inside a parallel block.")
    elif "background" in fields:
        reader.report(
            group,
            "'background' is not allowed inside a parallel block. Steps in a parallel block are automatically run as "
            "background steps.",
        )
