"""Tables and JSON on the terminal."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, TextIO

from agent.cli.terminal.streams import holds_unicode
from agent.visible import show_name

_RESET = "\x1b[0m"
_GAP = "  "
_LEAST_WIDTH = 6  # of a column that is cut
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
    titles: Sequence[str],
    rows: Iterable[Sequence[object]],
    out: TextIO,
    *,
    state: int | None = None,
    spare: int | None = None,
    cuts: bool = True,
) -> None:
    """Aligned columns under `titles`; nothing but the titles when there are no rows. Column `state` is coloured.

    On a terminal a row is one line: column `spare` is left out where not all fit, then the widest are cut, with an
    ellipsis; with `cuts` false, where a sentence is to be read, they go on in further lines. A file or a pipe gets
    everything, a row a line.
    """
    cells = [[str(title) for title in titles], *([plain(str(cell)) for cell in row] for row in rows)]
    widths = [max(columns_of(row[column]) for row in cells) for column in range(len(titles))]
    if out.isatty():
        most = shutil.get_terminal_size().columns
        if spare is not None and _line_width(widths) > most:
            cells = [[*row[:spare], *row[spare + 1 :]] for row in cells]
            del widths[spare]
        widths = fit_widths(widths, most)
    for row in cells:
        for line in [row] if cuts else _break_row(row, widths):
            padded = [_pad(cut_text(cell, width), width) for cell, width in zip(line, widths, strict=True)]
            padded[-1] = padded[-1].rstrip()
            if state is not None:
                padded[state] = coloured(padded[state], row[state], out)
            out.write(_GAP.join(padded).rstrip() + "\n")


def _break_row(row: Sequence[str], widths: Sequence[int]) -> list[list[str]]:
    """The row in as many lines as its longest cell needs, broken between words where that can be."""
    broken = [break_text(cell, width) for cell, width in zip(row, widths, strict=True)]
    return [list(line) for line in zip_longest(*broken, fillvalue="")]


def break_text(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` columns; one that fits, or is empty, is one line."""
    if columns_of(text) <= width:
        return [text]
    from textwrap import wrap

    narrow = width if text.isascii() else width // 2  # wrap() counts letters, and some take two columns
    return wrap(text, max(narrow, 1), break_on_hyphens=False)


def fit_widths(widths: Sequence[int], most: int) -> list[int]:
    """The widths with which columns stand beside each other in `most` columns of a terminal: what is wider than a common
    measure is cut to it, and that is a few letters at least.
    """
    measure = max(widths, default=0)
    while measure > _LEAST_WIDTH and _line_width([min(width, measure) for width in widths]) > most:
        measure -= 1
    return [min(width, measure) for width in widths]


def columns_of(text: str) -> int:
    """How many columns of a terminal `text` takes: Chinese letters and most pictures take two, accents none."""
    if text.isascii():
        return len(text)
    from agent.widths import width  # most tables are ASCII

    return sum(map(width, text))


def cut_text(text: str, width: int) -> str:
    """`text`, or its beginning and an ellipsis in `width` columns."""
    if columns_of(text) <= width:
        return text
    from agent.widths import width as width_of

    taken, kept = 1, []
    for character in text:
        taken += width_of(character)
        if taken > width:
            break
        kept.append(character)
    return "".join(kept).rstrip() + "…"


def _line_width(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - columns_of(text))


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
    """`text` with escapes for the characters that would play with a terminal (names and messages are not trusted)."""
    return show_name(text)


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
