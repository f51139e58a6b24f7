"""`on`: what starts the flow."""

from collections.abc import Collection

from agent.flow.dialects.github.contexts import BY_HAND
from agent.flow.dialects.github.table.events import EVENTS
from agent.flow.dialects.github.writing.forms import read_inputs
from agent.flow.dialects.github.writing.templates import Writer
from agent.flow.model import Input, Trigger, TriggerKind

_Fields = dict[str, object]
_TYPES = ("string", "boolean", "number", "choice", "environment")


def write_triggers(writer: Writer, triggers: Collection[Trigger]) -> _Fields:
    """All of them, by event."""
    events: _Fields = {}
    for trigger in triggers:
        match trigger.kind:
            case TriggerKind.SCHEDULE:
                events["schedule"] = [
                    {"cron": cron, **({} if zone == "UTC" else {"timezone": zone})}
                    for cron, zone in trigger.schedules
                ]
            case TriggerKind.BY_HAND:
                events[BY_HAND] = _write_by_hand(writer, trigger)
            case TriggerKind.CALL:
                events["workflow_call"] = _write_call(writer, trigger)
            case TriggerKind.NAMED:
                writer.lose(
                    trigger.position,
                    f"a program that tells this flow alone of '{trigger.event}' does not exist there",
                    "`repository_dispatch` is told to all flows",
                )
            case TriggerKind.EVENT:
                events[trigger.event] = _write_event(writer, trigger)
    return events


def _write_event(writer: Writer, trigger: Trigger) -> object:
    if trigger.event not in EVENTS.keys:
        writer.lose(trigger.position, f"nothing starts by '{trigger.event}' there")
    missing = [given.name for given in trigger.inputs if given.default is None]
    if missing:
        writer.lose(
            trigger.position,
            f"a {trigger.event} gives no inputs there: {', '.join(missing)}",
            "give them defaults",
        )
    return {name: list(patterns) for name, patterns in trigger.filters.items()} or None


def _write_by_hand(writer: Writer, trigger: Trigger) -> object:
    if trigger.role:
        writer.lose(
            trigger.position,
            f"who may start it ('{trigger.role}') can't be said there",
            "environments ask people",
        )
    inputs = trigger.inputs if trigger.form is None else read_inputs(trigger.form)
    if inputs is None:
        writer.lose(
            trigger.position,
            "a form that asks for more than plain values does not exist there",
            "declare `inputs`",
        )
    return {"inputs": {given.name: _write_input(given) for given in inputs}} if inputs else None


def _write_input(given: Input) -> _Fields:
    fields: _Fields = {"type": given.type if given.type in _TYPES else "string"}
    about = given.description or ("" if given.type in _TYPES else f"A {given.type}.")
    if about:
        fields["description"] = about
    if given.required:
        fields["required"] = True
    if given.default is not None:
        fields["default"] = given.default
    if given.options:
        fields["options"] = list(given.options)
    return fields


def _write_call(writer: Writer, trigger: Trigger) -> object:
    fields: _Fields = {}
    if trigger.inputs:
        fields["inputs"] = {given.name: _write_input(given) for given in trigger.inputs}
    if trigger.outputs:
        fields["outputs"] = {
            name: {"value": writer.write(value, trigger.position)} for name, value in trigger.outputs.items()
        }
    if trigger.secrets:
        fields["secrets"] = {name: {"required": needed} for name, needed in trigger.secrets.items()}
    return fields or None
