"""Which screen a run is shown on."""

import os
from typing import TextIO

from agent.cli.screen import JsonScreen, Screen, TextScreen
from agent.clock import SystemClock


def make_screen(output_format: str, out: TextIO, *, shows_jobs: bool) -> Screen:
    """JSON for programs; a live tree on a terminal that can draw one; else lines."""
    if output_format == "json":
        return JsonScreen(out)
    if out.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from agent.cli.tree import TreeScreen

        return TreeScreen(out, SystemClock())
    return TextScreen(out, shows_jobs=shows_jobs)
