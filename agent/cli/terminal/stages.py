"""Stages of a running job on the terminal: their graph with what each does a second, or all of it in a line."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from agent.cli.terminal.tables import plain, print_table

_TITLES = ("", "stage", "state", "a second", "buffered", "done", "retried", "dead")
_RATE = _TITLES.index("a second")


def draw_stages(stages: Sequence[Mapping[str, Any]], *, rates: bool = True) -> list[str]:
    """A line a stage, in the order in which records move, with the ways between them. `rates`: and what each does a second."""
    from agent.cli.terminal.lanes import draw_lanes
    from agent.flow.stages import FlowStage
    from agent.flow.written import Position

    nowhere = Position("", 0, 0)
    by_name = {str(stage["name"]): stage for stage in stages}
    drawn = [
        FlowStage(name, str(stage["action"]), nowhere, str(stage["action"]), out=tuple(stage["out"]))
        for name, stage in by_name.items()
    ]
    rows = [list(_TITLES)]
    for lanes, stage in draw_lanes(drawn):
        rows.append([lanes, *([""] * (len(_TITLES) - 1) if stage is None else _cells(by_name[stage.name]))])
    if not rates:
        rows = [[*row[:_RATE], *row[_RATE + 1 :]] for row in rows]
    text = io.StringIO()
    print_table(rows[0], rows[1:], text)
    return [line.rstrip() for line in text.getvalue().splitlines()]


def describe_stages(stages: Sequence[Mapping[str, Any]]) -> str:
    """All of it in one line, for a log."""
    parts = [f"{plain(str(stage['name']))} {stage['per_second']:g}/s" for stage in stages]
    sums = {name: sum(stage[name] for stage in stages) for name in ("buffered", "retried", "dead")}
    more = ", ".join(f"{count} {name}" for name, count in sums.items() if count)
    return ", ".join(parts) + (f"; {more}" if more else "")


def _cells(stage: Mapping[str, Any]) -> list[str]:
    counts = [stage["buffered"], count_records(stage), stage["retried"], stage["dead"]]
    rate = f"{stage['per_second']:g}"
    return [str(stage["name"]), str(stage["state"]), rate, *(str(count) if count else "" for count in counts)]


def count_records(stage: Mapping[str, Any]) -> int:
    """How many records a stage has dealt with; a trigger, how many it has brought."""
    return int(max(stage["done"] + stage["filtered"], 0) or stage["accepted"])
