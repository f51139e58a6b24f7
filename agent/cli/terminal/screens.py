"""The choice of the screen that a run is shown on."""

from typing import TextIO

from agent.cli.terminal.screen import JsonScreen, Screen, TextScreen, can_move
from agent.clock import SystemClock


def make_screen(
    output_format: str, out: TextIO, *, shows_jobs: bool, log: str = "end", whole: str = ""
) -> Screen:
    """JSON for programs; a live tree on a terminal that can draw one; else, or with `log` all, lines.

    The tree shows the end of each step's output; `whole` is how to see all of it.
    """
    if output_format == "json":
        return JsonScreen(out)
    if can_move(out) and log != "all":
        from agent.cli.terminal.tree import TreeScreen

        return TreeScreen(out, SystemClock(), whole)
    return TextScreen(out, shows_jobs=shows_jobs)
