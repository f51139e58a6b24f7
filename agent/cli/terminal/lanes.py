"""A graph of stages in lanes: one line a stage, and lines between that split and join lanes."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from agent.flow.stages import FlowStage, order_stages

_MOST_LANES: Final = 12  # side by side; with more, names say what the lines would
_STAGE, _LANE, _ACROSS, _CROSSED, _TURN = "●", "│", "─", "┼", "├"
_SPLIT, _JOIN, _SPLITS, _JOINS = "╮", "╯", "┬", "┴"
PLAIN_LANES: Final = {
    _STAGE: "*", _LANE: "|", _ACROSS: "-", _CROSSED: "+", _TURN: "|", _SPLIT: "\\", _JOIN: "/", _SPLITS: "+", _JOINS: "+",
}  # fmt: skip
"""For what holds no Unicode."""


class GraphLine(NamedTuple):
    """A line of the graph: the lanes, and the stage that stands on them."""

    lanes: str
    stage: FlowStage | None = None  # None: a line between two


def draw_lanes(stages: Sequence[FlowStage]) -> list[GraphLine]:
    """The graph's lines from top to bottom, in the order in which records move; only of so many lanes at most."""
    lines = list(_draw(order_stages(stages)))
    if any(len(line.lanes) > 2 * _MOST_LANES for line in lines):
        return [line._replace(lanes=_STAGE) for line in lines if line.stage is not None]
    return lines


def _draw(stages: Sequence[FlowStage]) -> Iterator[GraphLine]:
    """Each lane is an edge on its way down to the stage whose name it holds."""
    lanes: list[str | None] = []
    for stage in stages:
        mine = [index for index, name in enumerate(lanes) if name == stage.name]
        place = mine[0] if mine else _take_lane(lanes, 0)
        if len(mine) > 1:
            yield GraphLine(_turn(lanes, place, mine[1:], _JOIN, _JOINS))
        for index in mine[1:]:
            lanes[index] = None
        lanes[place] = stage.name
        yield GraphLine(_show(lanes, place), stage)
        lanes[place] = stage.out[0] if stage.out else None
        others = []
        for name in stage.out[1:]:
            others.append(_take_lane(lanes, place + 1))
            lanes[others[-1]] = name
        if others:
            yield GraphLine(_turn(lanes, place, others, _SPLIT, _SPLITS))
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
