"""The graph of a flow's stages: two of one name, names of nobody, triggers that something is handed to, circles, what nothing reaches."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from agent.flow.dialects.jumpwire.settings import UNKNOWN, Action
from agent.flow.dialects.jumpwire.table.triggers import TRIGGERS
from agent.flow.nodes import Node
from agent.flow.reading import Reader

_MOST_SHOWN = 12  # stages of a circle
_ROOM = 60  # letters of a name


class Vertex(NamedTuple):
    """A stage, as far as its place among the others goes. Its name is unique, its `out` are stages that there are."""

    name: str
    place: Node
    out: tuple[tuple[str, Node], ...]


def count_predecessors(vertices: Sequence[Vertex]) -> dict[str, int]:
    """By stage, how many hand records to it."""
    counts = {vertex.name: 0 for vertex in vertices}
    for vertex in vertices:
        for name, _ in vertex.out:
            counts[name] += 1
    return counts


def check_graph(
    reader: Reader, root: Node, vertices: Sequence[Vertex], actions: Mapping[str, Action]
) -> None:
    """Report what is wrong with it; `root` is where the flow's stages stand, `actions` are the stages' by name."""
    counts = count_predecessors(vertices)
    _check_triggers(reader, root, vertices, actions, counts)
    _check_circles(reader, vertices)
    for vertex in vertices:
        if actions[vertex.name].name == "zip" and counts[vertex.name] == 1:
            reader.warn(
                vertex.place,
                f"only one stage hands records to '{_cut(vertex.name)}': each makes a list of one",
                "`zip` joins the records of several stages: name it in the `out` of each",
            )


def _check_triggers(
    reader: Reader,
    root: Node,
    vertices: Sequence[Vertex],
    actions: Mapping[str, Action],
    counts: Mapping[str, int],
) -> None:
    for vertex in vertices:
        for name, place in vertex.out:
            if actions[name].is_trigger:
                reader.report(
                    place,
                    f"'{_cut(name)}' is a trigger ({actions[name].title}): nothing can be handed to it",
                    "a trigger stands at the beginning",
                )
    may_bring = [actions[vertex.name].is_trigger or actions[vertex.name] is UNKNOWN for vertex in vertices]
    if not any(may_bring):
        known = ", ".join(dict.fromkeys(action.title for action in TRIGGERS.values()))
        reader.report(root, "the flow has no trigger: nothing brings records in", f"one of {known}")
        return
    for vertex, brings in zip(vertices, may_bring, strict=True):
        if not brings and not counts[vertex.name]:
            reader.report(
                vertex.place,
                f"nothing reaches '{_cut(vertex.name)}': no stage names it in its `out`, and {actions[vertex.name].title} is no trigger",
                "name it in the `out` of the stage that comes before it",
            )


def _check_circles(reader: Reader, vertices: Sequence[Vertex]) -> None:
    """Report each circle that a walk in the file's order closes, at the `out` that closes it."""
    by_name = {vertex.name: vertex for vertex in vertices}
    done: set[str] = set()
    for start in vertices:
        if start.name in done:
            continue
        path = [start.name]
        on_path = {start.name}
        waiting = [iter(start.out)]
        while waiting:
            for name, place in waiting[-1]:
                if name in on_path:
                    circle = [*path[path.index(name) :], name]
                    reader.report(
                        place,
                        f"the stages go in a circle: {_show(circle)}",
                        "records must come to an end: leave one `out` out",
                    )
                elif name not in done:
                    path.append(name)
                    on_path.add(name)
                    waiting.append(iter(by_name[name].out))
                    break
            else:
                waiting.pop()
                on_path.discard(path[-1])
                done.add(path.pop())


def _show(circle: list[str]) -> str:
    shown = [_cut(name) for name in circle]
    if len(shown) > _MOST_SHOWN:
        shown = [*shown[: _MOST_SHOWN - 1], "…", shown[-1]]
    return " -> ".join(shown)


def _cut(name: str) -> str:
    return name if len(name) <= _ROOM else f"{name[:_ROOM]}…"
