"""`triggers`: what starts the flow."""

from dataclasses import replace
from typing import Final

from agent.flow.cron import SHORTEST_INTERVAL_MINUTES, is_cron, shortest_gap_minutes
from agent.flow.dialects.datatorch.table.triggers import (
    BUTTON,
    BY_HAND,
    CLICKS,
    EVENTS,
    ICONS,
    ROLES,
    SCHEDULE,
)
from agent.flow.model import Trigger, TriggerKind
from agent.flow.nodes import Mapping, Node, key_text
from agent.flow.reading import Reader
from agent.flow.tidied import list_fields, list_items, template_of, text_of, texts_of

_KINDS: Final = {
    SCHEDULE: TriggerKind.SCHEDULE,
    BY_HAND: TriggerKind.BY_HAND,
    BUTTON: TriggerKind.NAMED,
}
_FILTERS: Final = {"flows": "workflows"}  # as the server's filters are called


def read_triggers(
    reader: Reader, node: Node | None, root: Node, inputs_read: dict[str, None]
) -> tuple[Trigger, ...]:
    """All that start the flow; by hand, where nothing is said."""
    if isinstance(node, Mapping):
        found = tuple(
            _read_trigger(reader, key_text(key), key, value)
            for key, value in node.pairs
            if key_text(key) in EVENTS
        )
    else:
        found = tuple(_make(name, item) for item in list_items(node) if (name := text_of(item)) in EVENTS)
    found = found or (_make(BY_HAND, node or root),)
    return tuple(_ask_for(trigger, inputs_read) for trigger in found)


def _read_trigger(reader: Reader, name: str, key: Node, node: Node) -> Trigger:
    trigger = _make(name, key)
    fields = list_fields(node)
    if name == BY_HAND:
        return replace(
            trigger, role=_read_role(reader, fields.get("role")), form=_read_form(fields.get("form"))
        )
    if name == BUTTON:
        return replace(trigger, filters={"types": (_read_button(reader, fields),)})
    if name == SCHEDULE:
        return replace(trigger, schedules=_read_schedules(reader, node))
    return replace(
        trigger, filters={_FILTERS.get(key, key): texts_of(value) for key, value in fields.items()}
    )


def _make(name: str, place: Node) -> Trigger:
    return Trigger(EVENTS[name], place.position, _KINDS.get(name, TriggerKind.EVENT))


def _ask_for(trigger: Trigger, inputs_read: dict[str, None]) -> Trigger:
    """Who starts a flow that reads `input` is asked for what it reads, also where it has no form that says so."""
    if trigger.kind is not TriggerKind.BY_HAND or trigger.form is not None or not inputs_read:
        return trigger
    return replace(trigger, form={"type": "object", "properties": {name: {} for name in inputs_read}})


def _read_role(reader: Reader, node: Node | None) -> str:
    written = text_of(node)
    if not written or node is None:
        return ""
    if written.upper() not in ROLES:
        reader.report(node, f"there is no role '{written[:80]}'", f"one of {', '.join(ROLES)}")
    return ROLES.get(written.upper(), "")


def _read_form(node: Node | None) -> dict[str, object] | None:
    form = template_of(node)
    return form if isinstance(form, dict) else None


def _read_button(reader: Reader, fields: dict[str, Node]) -> str:
    for key, known in (("icon", ICONS), ("flow", CLICKS)):
        node = fields.get(key)
        if node is not None and text_of(node) not in known:
            reader.warn(
                node, f"'{text_of(node)[:80]}' is none that an annotator has", f"one of {', '.join(known)}"
            )
    return text_of(fields.get("name"))


def _read_schedules(reader: Reader, node: Node) -> tuple[tuple[str, str], ...]:
    schedules = []
    items = [node] if isinstance(node, Mapping) else list_items(node)
    for item in items:
        fields = list_fields(item)
        place = fields.get("cron", item)
        cron = text_of(place)
        if not is_cron(cron):
            reader.report(place, f"'{cron[:80]}' is no time", "five fields: minute hour day month weekday")
        elif shortest_gap_minutes(cron) < SHORTEST_INTERVAL_MINUTES:
            reader.warn(
                place, f"the schedule asks for more than one start in {SHORTEST_INTERVAL_MINUTES} minutes"
            )
        schedules.append((cron, text_of(fields.get("timezone")) or "UTC"))
    return tuple(schedules)
