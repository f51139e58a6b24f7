"""Stages as people see them: a graph in lanes, one line a stage, and lines between that split and join lanes."""

from collections.abc import Iterator, Sequence
from typing import Final, TextIO

from agent.cli.terminal.lanes import PLAIN_LANES, draw_lanes
from agent.cli.terminal.streams import holds_unicode
from agent.cli.terminal.tables import plain, print_table
from agent.flow.stages import FlowStage

_PLAIN: Final = str.maketrans({**PLAIN_LANES, "→": ">"})


def print_stages(stages: Sequence[FlowStage], out: TextIO) -> None:
    """The graph, in the order in which records move; what each stage hands its records to stands at its line's end."""
    lines = draw_lanes(stages)
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
