r"""Rows of a terminal between which a program goes up and down: several bars at once. Pure.

`\x1b[A` goes up (CUU), and what comes next stands where the old text stood. How far up a program may still go, nobody can
know; it is taken to go as far as it has gone until now. What is further up than that stays as it is, and leaves. Who hides the
cursor (DECTCEM, `\x1b[?25l`, as rich does) is about to go up: all rows since then may change until it is shown again.
"""

import codecs
import re

from agent.journal.row import Row

MOST_ROWS = 50
_MOST_COLUMNS = 1 << 20  # of all rows together
_LONGEST_SEQUENCE = 64
MOVES = re.compile(rb"\x1b\[(?:[0-9]*[AF]|\?25l)")
_STEP = re.compile(r"(\n|\x1b\[[0-9]*[ABEFJ]|\x1b\[\?25[lh])")
_CLIMB = re.compile(r"(?:\x1b\[[0-9]*[AF]|\x1b\[[012]?K|\r)+")
_UP = re.compile(r"\x1b\[([0-9]*)[AF]")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*)?\Z")


class Rows:
    """The rows that may still change, and the cursor on one of them."""

    def __init__(self, first: Row | None) -> None:
        """`first` is what stands on the line that has not ended."""
        self._rows = [first or Row()]
        self._at = 0
        self._height = 1
        self._calm = 0  # rows that were begun at the bottom since it last went up
        self._hides_cursor = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""  # a control sequence of which not all has come

    def feed(self, data: bytes) -> list[bytes]:
        """Print `data`; the rows that can't change any more."""
        text = self._rest + self._decoder.decode(data)
        cut = _UNFINISHED.search(text)
        self._rest = cut[0] if cut and len(cut[0]) <= _LONGEST_SEQUENCE else ""
        text = text[: len(text) - len(self._rest)]
        for climb in _CLIMB.finditer(text):
            rows = sum(_count(up[1]) for up in _UP.finditer(climb[0]))
            self._height = min(max(self._height, rows + 1), MOST_ROWS)
        left: list[bytes] = []
        for number, part in enumerate(_STEP.split(text)):
            if number % 2 == 0:
                self._rows[self._at].write(part)
            elif part == "\n":
                self._go_down()
                left += self._leave()
            elif part[2] == "?":
                self._hides_cursor = part[-1] == "l"
                self._calm = 0
            else:
                self._go(part[-1], part[2:-1])
        return left

    @property
    def is_calm(self) -> bool:
        """Whether as many rows as it had gone up have come since, one after another: the bars are over, or too wide for us."""
        at_end = self._at == len(self._rows) - 1 and not self._hides_cursor
        is_wide = sum(row.columns for row in self._rows) > _MOST_COLUMNS
        return at_end and not self._rest and (self._calm >= self._height or is_wide)

    def end(self) -> tuple[list[bytes], Row]:
        """All rows but the last; and that."""
        *rows, last = self._rows
        return [_read(row) for row in rows], last

    def standing(self) -> list[bytes]:
        """All rows as they stand now, without blank ones at the end."""
        rows = [_read(row) for row in self._rows]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def _leave(self) -> list[bytes]:
        left = []
        if self._calm > MOST_ROWS:
            self._hides_cursor = False  # whoever hid it is gone, or does not go up
        height = MOST_ROWS if self._hides_cursor else self._height
        while len(self._rows) > height:
            left.append(_read(self._rows.pop(0)))
            self._at -= 1
        return left

    def _go_down(self) -> None:
        self._at += 1
        if self._at == len(self._rows):
            self._rows.append(Row())
            self._calm += 1
        self._rows[self._at].go_to(0)

    def _go(self, final: str, parameter: str) -> None:
        if final == "J":
            if parameter in ("", "0"):
                self._rows[self._at].write("\x1b[K")
                del self._rows[self._at + 1 :]
            return
        count, column = _count(parameter), self._rows[self._at].column
        if final in "AF":
            self._calm = 0
            self._at = max(self._at - count, 0)
        else:
            self._at = min(self._at + count, len(self._rows) - 1)
        self._rows[self._at].go_to(column if final in "AB" else 0)


def _count(parameter: str) -> int:
    return min(int(parameter[:4] or "1") or 1, MOST_ROWS)


def _read(row: Row) -> bytes:
    return row.read().encode("utf-8", "replace")
