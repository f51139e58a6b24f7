"""Output of jobs, as people read it: nothing in it steers the terminal, groups are folded, of a lot the end is kept."""

import re
from collections import deque
from collections.abc import Iterator

from agent.control_sequences import ESCAPES
from agent.visible import DIRECTIONS
from agent.widths import width

KEPT_LINES = 40
_LONGEST_KEPT = 800  # characters of a line that is kept: ten rows of a usual terminal
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_COMMAND = re.compile(r"##\[(\w+)\](.*)", re.DOTALL)
_TAB_COLUMNS = 8
# Job output is not trusted: colours pass, everything else that steers a terminal does not (security.md).
_UNSAFE = re.compile(
    rf"(?!\x1b\[[0-9;:]*m)(?:{ESCAPES})"
    rf"|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u2028\u2029{DIRECTIONS}]"
)


def safe_text(text: str, *, colours: bool = True) -> str:
    """`text` with its colours (or without), and without anything else that would move, retitle or reprogram a terminal."""
    safe = _UNSAFE.sub("", text)
    return safe if colours else _COLOUR.sub("", safe)


def close_colours(text: str) -> str:
    """`text` whose colours end with it: a job's are not those of what is said after it."""
    return f"{text}\x1b[0m" if "\x1b" in text and not text.endswith("\x1b[0m") else text


def split_command(line: str) -> tuple[str, str]:
    """A line of a journal as the command that it is (`group`, `error`, ...; else empty) and its text."""
    match = _COMMAND.match(line)
    return (match[1], match[2]) if match else ("", line)


def cut_line(line: str, columns: int) -> str:
    """The beginning of `line` that fits into so many columns of a terminal; colours take none."""
    shown: list[str] = []
    column = position = 0
    while position < len(line):
        if colour := _COLOUR.match(line, position):
            shown.append(colour[0])
            position = colour.end()
            continue
        character = line[position]
        if character == "\t":
            character = " " * (_TAB_COLUMNS - column % _TAB_COLUMNS)
        column += len(character) if character.isspace() else width(character)
        if column > columns:
            cut = "".join(shown)
            return f"{cut}\x1b[0m" if "\x1b" in cut else cut
        shown.append(character)
        position += 1
    return "".join(shown)


class StepOutput:
    """The end of what a step has printed. A group is one line with its count, other commands are their text."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours
        self._shown: deque[str] = deque(maxlen=KEPT_LINES)
        self._count = 0  # of the lines that were shown, whether they are still kept or not
        self._header = ""  # the group at the beginning, which says what is run
        self._group: str | None = None
        self._group_count = 0
        self._in_group: deque[str] = deque(maxlen=KEPT_LINES)
        self._pending: list[str] = []

    def add(self, line: str) -> None:
        """The next line."""
        self._pending = []
        command, text = split_command(line)
        if command == "group":
            self._close_group()
            self._group, self._group_count = self._safe(text), 0
        elif command == "endgroup":
            self._close_group()
        elif self._group is not None:
            self._group_count += 1
            self._in_group.append(self._safe(text))
        else:
            self._show(self._safe(text))

    def set_pending(self, line: str) -> None:
        """What stands on the line that has not ended, or on several."""
        self._pending = [self._safe(one) for one in line.split("\n")]

    def moving(self, lines: int) -> list[str]:
        """The last lines of a step that runs, also those of the group that is open."""
        return [line for line in (*self._all(), *self._pending) if line][-lines:]

    def kept(self, lines: int, *, with_header: bool) -> tuple[int, list[str]]:
        """The last lines of a step that is over, and how many came before. Blank ones at the end are none.

        When nothing else came before, the header (what was run) can stand there.
        """
        found = list(self._all())
        while found and not found[-1].strip():
            found.pop()
        shown = found[-lines:]
        more = self._count - len(self._shown) + len(found) - len(shown)
        if with_header and self._header and not more:
            shown.insert(0, self._header)
        return more, shown

    def _all(self) -> Iterator[str]:
        yield from self._shown
        if self._group is not None:
            yield f"▸ {self._group}"
            yield from self._in_group

    def _close_group(self) -> None:
        if self._group is None:
            return
        count = self._group_count
        folded = f"▸ {self._group} ({count} line{'' if count == 1 else 's'})"
        if not self._header and not self._count and self._group.startswith("Run "):
            self._header = folded
        elif count:  # an empty one says nothing
            self._show(folded)
        self._group = None
        self._in_group.clear()

    def _show(self, line: str) -> None:
        self._shown.append(line)
        self._count += 1

    def _safe(self, line: str) -> str:
        cut = line[:_LONGEST_KEPT] + ("…" if len(line) > _LONGEST_KEPT else "")
        return close_colours(safe_text(cut, colours=self._colours))
