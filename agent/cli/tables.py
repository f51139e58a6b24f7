"""Tables and JSON on the terminal."""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from agent.cli.streams import holds_unicode

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z")
_RESET = "\x1b[0m"
COLOURS = {
    "success": "\x1b[32m",
    "failure": "\x1b[31m",
    "cancelled": "\x1b[33m",
    "skipped": "\x1b[2m",
    "running": "\x1b[36m",
    "queued": "\x1b[34m",
    "dim": "\x1b[2m",
    "bold": "\x1b[1m",
}
MARKS = {"success": "✓", "failure": "✗", "cancelled": "!", "skipped": "-", "running": "*", "queued": "."}


def print_json(data: Any, out: TextIO) -> None:
    """`data` as one indented JSON document."""
    out.write(json_text(data, out, indent=2) + "\n")


def json_text(data: Any, out: TextIO, *, indent: int | None = None) -> str:
    """`data` as JSON in the characters that `out` can take: others are written as escapes, which mean the same."""
    return json.dumps(data, indent=indent, ensure_ascii=not holds_unicode(out))


def print_table(
    titles: Sequence[str], rows: Iterable[Sequence[object]], out: TextIO, *, state: int | None = None
) -> None:
    """Aligned columns under `titles`; nothing but the titles when there are no rows. Column `state` is coloured.

    Moments are shown as `moment_text` says.
    """
    cells = [
        [str(title) for title in titles],
        *([moment_text(plain(str(cell))) for cell in row] for row in rows),
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(titles))]
    for row in cells:
        padded = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
        padded[-1] = padded[-1].rstrip()
        if state is not None:
            padded[state] = coloured(padded[state], row[state], out)
        out.write("  ".join(padded).rstrip() + "\n")


def moment_text(text: str) -> str:
    """A moment as the API writes it (RFC 3339, `2026-11-21T08:00:00.000Z`) as `2026-11-21 08:00:00 UTC`; else `text`."""
    match = _MOMENT.fullmatch(text)
    return f"{match[1]} {match[2]} UTC" if match else text


def coloured(text: str, colour: str, out: TextIO) -> str:
    """`text` in a colour of `COLOURS`, where colours are wanted."""
    return f"{COLOURS[colour]}{text}{_RESET}" if colour in COLOURS and wants_colour(out) else text


def wants_colour(out: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether to colour what goes to `out`: FORCE_COLOR says yes, NO_COLOR no, else it must be a terminal that can."""
    if environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    if environ.get("NO_COLOR"):
        return False
    return out.isatty() and environ.get("TERM") != "dumb"


def plain(text: str) -> str:
    """`text` without the control characters that would play with a terminal (names and messages are not trusted)."""
    return "".join(character for character in text if character == "\t" or character.isprintable())


def duration(seconds: float | None) -> str:
    """`0.4s`, `12s`, `3m 05s`, `2h 07m`."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f}s"
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s"
