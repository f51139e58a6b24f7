"""Stages as people see them: a graph in lanes, one line a stage, and lines between that split and join lanes."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TextIO

from agent.cli.terminal.streams import holds_unicode
from agent.cli.terminal.tables import plain, print_table
from agent.flow.stages import FlowStage, order_stages

_MOST_LANES: Final = 12  # side by side; with more, names say what the lines would
_STAGE, _LANE, _ACROSS, _CROSSED, _TURN = "●", "│", "─", "┼", "├"
_SPLIT, _JOIN, _SPLITS, _JOINS = "╮", "╯", "┬", "┴"
_PLAIN: Final = str.maketrans({
    _STAGE: "*", _LANE: "|", _ACROSS: "-", _CROSSED: "+", _TURN: "|", _SPLIT: "\\", _JOIN: "/", _SPLITS: "+", _JOINS: "+", "→": ">",
})  # fmt: skip


class _Line(NamedTuple):
    lanes: str
    stage: FlowStage | None = None  # None: a line between two


def print_stages(stages: Sequence[FlowStage], out: TextIO) -> None:
    """The graph, in the order in which records move; what each stage hands its records to stands at its line's end."""
    lines = list(_draw(order_stages(stages)))
    if any(len(line.lanes) > 2 * _MOST_LANES for line in lines):
        lines = [line._replace(lanes=_STAGE) for line in lines if line.stage is not None]
    rows = [
        [line.lanes, line.stage.name, line.stage.written, f"→ {', '.join(line.stage.out)}" if line.stage.out else ""]
        if line.stage is not None
        else [line.lanes, "", "", ""]
        for line in lines
    ]  # fmt: skip
    if not holds_unicode(out):
        rows = [[row[0].translate(_PLAIN), *row[1:3], row[3].translate(_PLAIN)] for row in rows]
    print_table(["", "stage", "action", "to"], rows, out)


def draw_mermaid(stages: Sequence[FlowStage], prefix: str) -> Iterator[str]:
    """The lines of a Mermaid graph; triggers are round. `prefix` begins the ids of its nodes."""
    numbers = {stage.name: f"{prefix}{index}" for index, stage in enumerate(stages)}
    handed = {name for stage in stages for name in stage.out}
    for stage in stages:
        left, right = ("[", "]") if stage.name in handed else ("([", "])")
        yield f'  {numbers[stage.name]}{left}"{_escape(stage.name)}<br/>{_escape(stage.written)}"{right}'
    for stage in stages:
        for name in stage.out:
            yield f"  {numbers[stage.name]} --> {numbers[name]}"


def _escape(text: str) -> str:
    return plain(text).replace("&", "&amp;").replace('"', "#quot;").replace("<", "&lt;").replace(">", "&gt;")


def _draw(stages: Sequence[FlowStage]) -> Iterator[_Line]:
    """Each lane is an edge on its way down to the stage whose name it holds."""
    lanes: list[str | None] = []
    for stage in stages:
        mine = [index for index, name in enumerate(lanes) if name == stage.name]
        place = mine[0] if mine else _take_lane(lanes, 0)
        if len(mine) > 1:
            yield _Line(_turn(lanes, place, mine[1:], _JOIN, _JOINS))
        for index in mine[1:]:
            lanes[index] = None
        lanes[place] = stage.name
        yield _Line(_show(lanes, place), stage)
        lanes[place] = stage.out[0] if stage.out else None
        others = []
        for name in stage.out[1:]:
            others.append(_take_lane(lanes, place + 1))
            lanes[others[-1]] = name
        if others:
            yield _Line(_turn(lanes, place, others, _SPLIT, _SPLITS))
        while lanes and lanes[-1] is None:
            lanes.pop()


def _take_lane(lanes: list[str | None], least: int) -> int:
    """The first free lane from `least` on."""
    for index in range(least, len(lanes)):
        if lanes[index] is None:
            return index
    lanes.append(None)
    return len(lanes) - 1


def _show(lanes: Sequence[str | None], place: int) -> str:
    marks = [_STAGE if index == place else _LANE if lane else " " for index, lane in enumerate(lanes)]
    return " ".join(marks).rstrip()


def _turn(lanes: Sequence[str | None], place: int, others: Sequence[int], last: str, between: str) -> str:
    """A line on which the lanes `others`, all to the right of `place`, split from it or join it."""
    line = ""
    for index, lane in enumerate(lanes):
        if index == place:
            mark = _TURN
        elif index in others:
            mark = last if index == others[-1] else between
        elif place < index < others[-1]:
            mark = _CROSSED if lane else _ACROSS
        else:
            mark = _LANE if lane else " "
        line += mark + (_ACROSS if place <= index < others[-1] else " ")
    return line.rstrip()
