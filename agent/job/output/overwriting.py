r"""Secrets that a line shows because it is written over: `hunX\b` and `ter2` in one chunk or in ten.

What is out already can't be taken back: of a secret that comes together with it, the rest is masked.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Final

from agent.painted import BEFORE, MOST_COLUMNS, PaintedLine, Search, has_moves, has_sequences

_MOST_BYTES: Final = 4 * MOST_COLUMNS  # of a line that is kept: a character of UTF-8 in each column
_LONGEST_MOVE: Final = 16


@dataclass(frozen=True, slots=True)
class SecretForms:
    """What is looked for: the length of the longest, what finds whole ones, and what finds where an unfinished one begins."""

    longest: int
    search: Search
    find_unfinished: Callable[[bytes], int]


@dataclass(slots=True)
class _Continued:
    """The line with some bytes on it: what they have painted."""

    data: bytes
    lines: tuple[PaintedLine, ...]
    found: list[tuple[int, int]]


class LineSoFar:
    """What is out of the line that has not ended."""

    def __init__(self) -> None:
        self._text = b""  # of a line on which nothing has moved
        self._lines: tuple[
            PaintedLine, ...
        ] = ()  # else: as terminals paint it, and as who leaves sequences out
        self._continued: _Continued | None = None

    @property
    def is_moved(self) -> bool:
        """Whether what comes next may be written over something."""
        return bool(self._lines) or self._text.endswith(b"\r")  # which may have been the half of a newline

    def add(self, out: bytes) -> None:
        """So much more is out."""
        if b"\n" in out:
            self._text, self._lines, self._continued = b"", (), None
            out = out[out.rfind(b"\n") + 1 :]
        if not out:
            return
        if self.is_moved or has_moves(self._text[-_LONGEST_MOVE:] + out):
            if self._continued is None or self._continued.data != out:
                self.paint(out, SecretForms(0, _find_nothing, len))
            assert self._continued is not None
            self._lines, self._text = self._continued.lines, b""
            for line in self._lines:
                line.settle()
        elif len(self._text) < _MOST_BYTES:
            self._text = (self._text + out)[:_MOST_BYTES]
        self._continued = None

    def paint(self, data: bytes, forms: SecretForms) -> list[tuple[int, int]]:
        """(start, end) of the bytes of `data`, in which is no newline, that paint a secret on this line."""
        if self._continued is None or self._continued.data != data:
            lines = self._start(data, forms.longest)
            found = [span for line in lines for span in line.paint(data, 0, forms.search)]
            self._continued = _Continued(data, lines, found)
        return self._continued.found

    def find_unfinished(self, data: bytes, forms: SecretForms) -> int:
        """Where that was written which stands before the cursor after `data` and may be the beginning of a secret; else its length."""
        self.paint(data, forms)
        assert self._continued is not None
        places = [line.find_unfinished(forms.find_unfinished) for line in self._continued.lines]
        return min((place for place in places if place != BEFORE), default=len(data))

    def _start(self, data: bytes, longest: int) -> tuple[PaintedLine, ...]:
        """The line, to be written on: once more as soon as there is something that only terminals follow."""
        lines = self._lines
        if not lines:
            plain = PaintedLine(longest)
            for _ in plain.paint(self._text, 0, _find_nothing):
                pass
            lines = (plain,)
        ways = (
            (True, False)
            if len(lines) == 1 and has_sequences(data)
            else tuple(line.follows_csi for line in lines)
        )
        return tuple(
            line.copy_as_before(longest, follows_csi=follows)
            for line, follows in zip(cycle(lines), ways, strict=False)
        )


def find_painted(data: bytes, before: LineSoFar | None, forms: SecretForms) -> Iterator[tuple[int, int]]:
    """(start, end) of the bytes that paint a secret on one of the lines of `data`, the first of which continues `before`."""
    start = 0
    for text in data.split(b"\n"):
        line, before = before or LineSoFar(), None
        if line.is_moved or has_moves(text):
            yield from ((start + begin, start + end) for begin, end in line.paint(text, forms))
        start += len(text) + 1


def find_unpainted(data: bytes, before: LineSoFar | None, forms: SecretForms) -> int:
    """Where that was written which stands before the cursor and may be the beginning of a secret; the data's length if nowhere."""
    start = data.rfind(b"\n") + 1
    line = (None if start else before) or LineSoFar()
    rest = data[start:]
    return start + line.find_unfinished(rest, forms) if line.is_moved or has_moves(rest) else len(data)


def _find_nothing(_data: bytes) -> Iterator[tuple[int, int]]:
    return iter(())
