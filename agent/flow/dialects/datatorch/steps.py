"""A job's steps: which action each runs, with what, and when."""

from collections.abc import Collection

from agent.flow.dialects.datatorch.actions import name_action, read_action
from agent.flow.dialects.datatorch.references import KnownBefore
from agent.flow.dialects.datatorch.table.contexts import STEP_IF
from agent.flow.expressions import has_expression, split_template
from agent.flow.identifiers import StepIds
from agent.flow.model import Step, StepKind, Template
from agent.flow.nodes import Mapping, Node, Scalar, key_text
from agent.flow.reading import Reader
from agent.flow.resources import read_minutes
from agent.flow.tidied import list_fields, list_items, list_pairs, template_of, text_of


def read_steps(reader: Reader, node: Node | None, needs: Collection[str]) -> tuple[Step, ...]:
    """All steps of a job that waits for the jobs `needs`."""
    ids = StepIds()
    items = [item for item in list_items(node) if isinstance(item, Mapping)]
    written = {id(item): _take_id(reader, ids, list_fields(item).get("id")) for item in items}
    before = KnownBefore(needs)
    steps = []
    for item in items:
        fields = list_fields(item)
        for key in ("name", "inputs"):
            before.check(reader, fields.get(key))
        name, own_id = text_of(fields.get("name")), written[id(item)]
        steps.append(_read_step(reader, ids, item, own_id or _take_name(ids, name)))
        before.add(name, own_id)
    return tuple(steps)


def _take_id(reader: Reader, ids: StepIds, node: Node | None) -> str:
    """The id that was written, where it may be one."""
    identifier = text_of(node)
    complaint = ids.add(identifier) if identifier else ""
    if complaint and node is not None:
        reader.report(node, complaint)
    return "" if complaint else identifier


def _take_name(ids: StepIds, name: str) -> str:
    """A name that is an id, and free, is the step's id: other languages know a step by that alone."""
    return "" if not name or ids.add(name) else name


def _read_step(reader: Reader, ids: StepIds, node: Mapping, own_id: str) -> Step:
    fields = list_fields(node)
    uses = read_action(reader, fields.get("action"))
    return Step(
        StepKind.USES,
        own_id or ids.generate(name_action(uses)),
        node.position,
        name=template_of(fields.get("name")) or None,
        condition=_read_condition(reader, fields.get("if")),
        uses=uses,
        with_=_read_inputs(fields.get("inputs")),
        timeout_minutes=read_minutes(reader, fields.get("timeout")),
        is_cached=_read_flag(fields.get("cache")),
    )


def _read_inputs(node: Node | None) -> dict[str, Template]:
    return {key_text(key): template_of(value) for key, value in list_pairs(node)}


def _read_flag(node: Node | None) -> bool | None:
    value = node.value if isinstance(node, Scalar) else None
    return value if isinstance(value, bool) else None


def _read_condition(reader: Reader, node: Node | None) -> str:
    """An `if` in normal form. Without a status function it also asks whether all went well so far."""
    text = text_of(node)
    if node is None or not text:
        return "success()"
    condition = reader.normalize_condition(node, text)
    if not condition:
        return "success()"
    if not has_expression(text):
        reader.check_expression(node, text.strip(), STEP_IF)
    elif len(split_template(text)) > 1:
        reader.warn(
            node,
            "the condition is text with an expression in it, and any text is true",
            "put the whole condition into one `${{ }}`, or leave the braces out",
        )
    return condition
