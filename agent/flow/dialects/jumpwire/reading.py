"""`stages`: each stage's name, action, config and `out`, and all of them as a graph.

A name, an action and an `out` are text, as the documents' schema has it: a number is none, though YAML would make one of it.
"""

from collections.abc import Mapping as Mapped
from collections.abc import Sequence as Items
from typing import Final, NamedTuple

from agent.errors import UsageError
from agent.flow.dialects.jumpwire.actions import find_action
from agent.flow.dialects.jumpwire.config import read_config
from agent.flow.dialects.jumpwire.graph import Vertex, check_graph, count_predecessors
from agent.flow.dialects.jumpwire.secrets import check_texts
from agent.flow.dialects.jumpwire.settings import Action
from agent.flow.dialects.jumpwire.values import is_text
from agent.flow.nodes import Mapping, Node, Scalar, Sequence
from agent.flow.reading import Reader
from agent.flow.stages import FlowStage
from agent.flow.tidied import list_fields, list_items, text_of
from agent.visible import check_visible

_LONGEST_NAME: Final = 200  # letters
_LISTENING: Final = {
    "receive": "path",
    "udp": "port",
}  # by action: the key of the place that it has for itself
_MOST_NAMES: Final = 12  # of those that a hint lists


class _Written(NamedTuple):
    """A stage with what stands in its file."""

    node: Mapping
    fields: dict[str, Node]
    vertex: Vertex


def read_stages(reader: Reader, root: Node) -> tuple[FlowStage, ...]:
    """The stages of a flow, in its file's order. `root` is as it was written: its shape has been looked at."""
    top = list_fields(root)
    _check_text(reader, top.get("name"))
    _check_name(reader, top.get("name"), "a flow")
    place = top.get("stages")
    items = place.items if isinstance(place, Sequence) else []
    written = _name_stages(reader, [item for item in items if isinstance(item, Mapping)])
    counts = count_predecessors([each.vertex for each in written])
    actions = {
        each.vertex.name: find_action(
            reader,
            each.fields.get("action"),
            each.fields.get("config"),
            has_predecessors=counts[each.vertex.name] > 0,
        )
        for each in written
    }
    if place is not None and len(written) == len(items):
        check_graph(reader, place, [each.vertex for each in written], actions)
    stages = tuple(_read_stage(reader, each, actions[each.vertex.name]) for each in written)
    _check_places(reader, written, stages)
    return stages


def _name_stages(reader: Reader, nodes: Items[Mapping]) -> list[_Written]:
    """The stages that have a name, each once, with the edges that lead to one of them."""
    named: dict[str, tuple[Mapping, dict[str, Node]]] = {}
    for node in nodes:
        fields = list_fields(node)
        for key in ("name", "action"):
            _check_text(reader, fields.get(key))
        name = text_of(fields.get("name"))
        _check_name(reader, fields.get("name"), "a stage")
        if name in named:
            first = named[name][0].position
            reader.report(
                fields["name"],
                f"there are two stages '{name[:80]}': a name is a stage's own",
                f"the other one stands in line {first.line}",
            )
        elif name:
            named[name] = (node, fields)
    return [
        _Written(node, fields, Vertex(name, fields["name"], _read_out(reader, fields.get("out"), named)))
        for name, (node, fields) in named.items()
    ]


def _read_out(reader: Reader, node: Node | None, known: Mapped[str, object]) -> tuple[tuple[str, Node], ...]:
    out: dict[str, Node] = {}
    for item in list_items(node):
        _check_text(reader, item)
        name = text_of(item)
        if name in out:
            reader.warn(item, f"'{name[:80]}' is named twice", "it gets each record once")
        elif name in known:
            out[name] = item
        elif is_text(item) and name:
            names = list(known)
            shown = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
            what = f"there is no stage '{name[:80]}'"
            reader.report_unknown(item, what, name, names, f"known here: {shown}")
    return tuple(out.items())


def _read_stage(reader: Reader, written: _Written, action: Action) -> FlowStage:
    fields = written.fields
    config = fields.get("config")
    check_texts(reader, config)
    name = text_of(fields.get("action"))
    return FlowStage(
        written.vertex.name,
        action.name,
        written.node.position,
        name,
        read_config(reader, action, fields.get("action", written.node), config),
        tuple(name for name, _ in written.vertex.out),
        uses=name if action.name == "uses" else "",
    )


def _check_places(reader: Reader, written: Items[_Written], stages: Items[FlowStage]) -> None:
    """Report triggers that would take each other's records: of one path, or of one port."""
    taken: dict[object, str] = {}
    for each, stage in zip(written, stages, strict=True):
        if stage.action not in _LISTENING or _LISTENING[stage.action] not in stage.config:
            continue
        listens = stage.config[_LISTENING[stage.action]]
        place = f"port {listens}" if stage.action == "udp" else listens
        first = taken.setdefault(place, stage.name)
        if first != stage.name:
            reader.report(
                each.vertex.place,
                f"'{first[:80]}' and '{stage.name[:80]}' both listen at {place}",
                "one trigger may have several `out`",
            )


def _check_name(reader: Reader, node: Node | None, what: str) -> None:
    """Names stand in logs, in pages and on the server: they have a length, and no character that nobody sees."""
    name = text_of(node)
    if node is None:
        return
    try:
        check_visible(name, what)
    except UsageError as error:
        reader.report(node, error.what)
    if len(name) > _LONGEST_NAME:
        reader.report(node, f"the name of {what} has more than {_LONGEST_NAME} characters")


def _check_text(reader: Reader, node: Node | None) -> None:
    if isinstance(node, Scalar) and not is_text(node) and node.value is not None:
        reader.report(node, f"Unexpected value '{text_of(node)}'", f"in quotes it is text: '{node.text}'")
