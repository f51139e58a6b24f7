"""`on`: the events with their filters, schedules and inputs."""

import math
from dataclasses import replace

from agent.flow.cron import SHORTEST_INTERVAL_MINUTES, is_cron, shortest_gap_minutes
from agent.flow.dialects.github.contexts import BY_HAND
from agent.flow.dialects.github.parts import (
    is_expression,
    is_quoted_text,
    list_fields,
    list_items,
    list_pairs,
    template_of,
    text_of,
    texts_of,
)
from agent.flow.expressions import to_number, to_text
from agent.flow.model import Input, Position, Trigger, TriggerKind
from agent.flow.reading import Reader
from agent.flow.source import Mapping, Node, Scalar, Sequence, key_text

MAX_DISPATCH_INPUTS = 25
_PATTERN_FILTERS = ("branches", "tags", "paths")
_KINDS = {
    "schedule": TriggerKind.SCHEDULE,
    BY_HAND: TriggerKind.BY_HAND,
    "workflow_call": TriggerKind.CALL,
}


def read_triggers(reader: Reader, node: Node | None) -> tuple[Trigger, ...]:
    """All events of `on`, in the file's order."""
    if isinstance(node, Mapping):
        return tuple(_read_event(reader, key, value) for key, value in node.pairs)
    return tuple(_make_trigger(text_of(item), item.position) for item in list_items(node))


def _read_event(reader: Reader, key: Scalar, node: Node) -> Trigger:
    event = key_text(key)
    fields = list_fields(node)
    trigger = _make_trigger(event, key.position)
    if trigger.kind is TriggerKind.SCHEDULE:
        return replace(trigger, schedules=_read_schedules(reader, node))
    if trigger.kind is TriggerKind.BY_HAND:
        return replace(trigger, inputs=_read_dispatch_inputs(reader, fields.get("inputs")))
    if trigger.kind is TriggerKind.CALL:
        return replace(
            trigger,
            inputs=_read_inputs(reader, fields.get("inputs")),
            outputs={
                key_text(name): template_of(list_fields(value).get("value"))
                for name, value in list_pairs(fields.get("outputs"))
            },
            secrets={
                key_text(name): template_of(list_fields(value).get("required")) is True
                for name, value in list_pairs(fields.get("secrets"))
            },
        )
    _check_filters(reader, node)
    return replace(trigger, filters={name: texts_of(value) for name, value in fields.items()})


def _make_trigger(event: str, position: Position) -> Trigger:
    return Trigger(event, position, _KINDS.get(event, TriggerKind.EVENT))


def _read_schedules(reader: Reader, node: Node) -> tuple[tuple[str, str], ...]:
    schedules = []
    for item in list_items(node):
        fields = list_fields(item)
        cron = fields.get("cron")
        if cron is None:
            continue
        text = text_of(cron)
        if not is_cron(text):
            reader.report(
                cron, "Invalid cron expression. Expected format: '* * * * *' (minute hour day month weekday)"
            )
        elif shortest_gap_minutes(text) < SHORTEST_INTERVAL_MINUTES:
            reader.warn(
                cron,
                f"the schedule asks for more than one start in {SHORTEST_INTERVAL_MINUTES} minutes",
                "GitHub starts a flow at most every five minutes",
            )
        schedules.append((text, text_of(fields.get("timezone")) or "UTC"))
    return tuple(schedules)


def _read_dispatch_inputs(reader: Reader, node: Node | None) -> tuple[Input, ...]:
    pairs = list_pairs(node)
    if len(pairs) > MAX_DISPATCH_INPUTS:
        reader.report(
            pairs[MAX_DISPATCH_INPUTS][0],
            f"you may only define up to {MAX_DISPATCH_INPUTS} `inputs` for a `workflow_dispatch` event",
        )
    return _read_inputs(reader, node)


def _read_inputs(reader: Reader, node: Node | None) -> tuple[Input, ...]:
    return tuple(_read_input(reader, key_text(key), value) for key, value in list_pairs(node))


def _read_input(reader: Reader, name: str, node: Node) -> Input:
    fields = list_fields(node)
    kind = text_of(fields.get("type")) or "string"
    options = fields.get("options")
    default = fields.get("default")
    value = template_of(default)
    if isinstance(default, Scalar) and (not is_expression(default) or is_quoted_text(default)):
        value = _read_default(reader, default, kind)
    if kind == "choice" and not list_items(options):
        reader.report(node, "Missing 'options' for choice input")
    elif kind != "choice" and options is not None:
        reader.report(node, "Input type is not 'choice', but 'options' is defined")
    elif kind == "choice" and default is not None and to_text(value) not in texts_of(options):
        reader.warn(default, f"the default '{to_text(value)}' is not one of the options")
    required = template_of(fields.get("required")) is True
    return Input(name, kind, text_of(fields.get("description")), required, value, texts_of(options))


def _read_default(reader: Reader, node: Scalar, kind: str) -> object:
    """A default of its input's type; text takes any scalar, as GitHub's server does, but YAML may have changed it."""
    value = node.value
    if kind == "boolean":
        if not isinstance(value, bool):
            reader.report(
                node, "The default of a boolean input must be true or false", "write it without quotes"
            )
    elif kind == "number":
        return _read_number_default(reader, node)
    elif not isinstance(value, str):
        text = to_text(value)
        reader.warn(node, f"the default is read as the text '{text}'", f"put it in quotes: '{node.text}'")
        return text
    return value


def _read_number_default(reader: Reader, node: Scalar) -> object:
    """A number; GitHub's parser also lets text stand here, which is then a number, nothing, or wrong when used."""
    value = node.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    reader.warn(
        node, "the default of a number input should be a number", "write it without quotes, or leave it out"
    )
    number = to_number(value)
    return value if isinstance(value, bool) or math.isnan(number) or not to_text(value).strip() else number


def _check_filters(reader: Reader, node: Node) -> None:
    fields = list_fields(node)
    if not fields:
        return
    from agent.flow.filters import explain_pattern  # what starts `agent flow run` has seldom filters to check

    for name in _PATTERN_FILTERS:
        if name in fields and f"{name}-ignore" in fields:
            reader.warn(
                fields[f"{name}-ignore"],
                f"`{name}` and `{name}-ignore` should not stand together",
                f"use `{name}` alone, with `!` before what does not count",
            )
        for value in (fields.get(name), fields.get(f"{name}-ignore")):
            for item in value.items if isinstance(value, Sequence) else list_items(value):
                complaint = explain_pattern(text_of(item))
                if complaint:
                    reader.warn(item, f"the pattern '{text_of(item)}' {complaint}")
