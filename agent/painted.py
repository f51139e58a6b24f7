r"""A line as a terminal paints it: what is written over stands no longer, and each column knows where it was written. Pure.

For who masks: `ab\bc` shows `ac`, whatever its bytes are. Understood are the moves within a line (`\b`, `\r`, CUB, CUF, HPR, CHA,
HPA), what erases or shifts a part of it (EL, ECH, DCH, ICH), insert mode (IRM) and the cursor that is saved and restored (DECSC, DECRC,
SCOSC, SCORC); ECMA-48 (8.3), xterm. Moves to other lines and the end of a terminal's row are not: who means to hide a secret has easier
ways (docs/security.md).
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Final

from agent.control_sequences import find_hidden
from agent.widths import NARROW, width

MOST_COLUMNS: Final = 4096  # what is further to the right is not painted
BEFORE: Final = -1  # where that was written which came before these bytes
_TAB_COLUMNS: Final = 8
_MOVE: Final = re.compile(rb"(?:\x1b\[|\xc2\x9b)([0-9]*)([CDGKPX@`asuhl])")
_SAVED: Final = {b"\x1b7": b"s", b"\x1b8": b"u"}  # DECSC and DECRC: as those of SCO
_INSERT_MODE: Final = 4
_RETURN: Final = re.compile(rb"\r(?!\r*(?:\n|\Z))")
# By how each begins, as that is found quickest. What erases to the end of a line changes nothing where that is.
_CSI: Final = tuple(
    (begin, re.compile(re.escape(begin) + rb"(?:[0-9]*[CDGPX@`a]|[1-9][0-9]*K|u|4h)"))
    for begin in (b"\x1b[", b"\xc2\x9b")
)
_RESTORE: Final = b"\x1b8"
_NUMBER_DIGITS: Final = 5

# What finds (start, end) of secrets in a text.
Search = Callable[[bytes], Iterable[tuple[int, int]]]


def has_moves(data: bytes) -> bool:
    """Whether something in the bytes is written over, or may be."""
    return b"\b" in data or (b"\r" in data and _RETURN.search(data) is not None) or has_sequences(data)


def has_sequences(data: bytes) -> bool:
    r"""Whether something in the bytes moves that is no `\b` and no `\r`: who leaves sequences out does not follow it."""
    if b"\x1b" not in data and b"\xc2\x9b" not in data:
        return False
    return _RESTORE in data or any(
        begin in data and pattern.search(data) is not None for begin, pattern in _CSI
    )


def list_painted(data: bytes) -> list[bytes]:
    """All that lines of `data` show while it is written, where something moves in it."""
    shown: list[bytes] = []

    def look(text: bytes) -> Iterable[tuple[int, int]]:
        shown.append(text)
        return ()

    for line in data.split(b"\n"):
        if has_moves(line):
            for follows_csi in (True, False):
                for _ in PaintedLine(MOST_COLUMNS, follows_csi=follows_csi).paint(line, 0, look):
                    pass
    return shown


class PaintedLine:
    """The columns of a line: in each a character (empty: the second half of a wide one), and where it stands in the bytes."""

    def __init__(self, longest: int, *, follows_csi: bool = True) -> None:
        """`longest`: the bytes of the longest secret. Without `follows_csi` sequences move nothing (but EL), as for who leaves them out."""
        self._longest = longest
        self.follows_csi = follows_csi
        self._characters: list[str] = []
        self._places: list[int] = []
        self._column = 0
        self._saved = 0  # the column of the saved cursor
        self._inserts = False
        self._changed: tuple[int, int] | None = None  # columns since somebody looked
        self._moved: tuple[int, int] = (BEFORE, BEFORE)  # the bytes of the last move

    def settle(self) -> None:
        """From now on, all that stands here was written before what comes next."""
        self._places = [BEFORE] * len(self._places)
        self._changed, self._moved = None, (BEFORE, BEFORE)

    def copy_as_before(self, longest: int, *, follows_csi: bool) -> "PaintedLine":
        """Another line that shows the same, all of it written before what comes next."""
        line = PaintedLine(longest, follows_csi=follows_csi)
        line._characters = self._characters.copy()
        line._places = [BEFORE] * len(self._places)
        line._column, line._saved, line._inserts = self._column, self._saved, self._inserts
        return line

    def paint(self, data: bytes, start: int, search: Search) -> Iterator[tuple[int, int]]:
        """(start, end) of the bytes that have painted a secret when `data`, which begins at `start`, is written; no newline in it.

        Of a secret that was painted in part before, it is what has been written now, or the move that has taken away what was between.
        """
        for place, text, move in _split(data):
            if text:
                self._write(text, start + place)
            if move:
                yield from self._look(search)
                begin = start + place + len(text)
                self._moved = (begin, begin + len(move))
                self._move(move)
        yield from self._look(search)

    def find_unfinished(self, find: Callable[[bytes], int]) -> int:
        """Where that was written which stands before the cursor and may be the beginning of a secret; BEFORE when there is nothing.

        `find` says where an unfinished secret begins in a text; its length: nowhere.
        """
        end = min(self._column, len(self._characters))
        begin = max(0, end - self._longest)
        text, columns = self._read(begin, end)
        found = find(text)
        places = [self._places[begin + column] for column in columns[found:]]
        return min((place for place in places if place != BEFORE), default=BEFORE)

    def _look(self, search: Search) -> Iterator[tuple[int, int]]:
        if self._changed is None:
            return
        begin = max(0, self._changed[0] - self._longest)
        text, columns = self._read(begin, self._changed[1] + self._longest)
        self._changed = None
        for first, last in search(text):
            places = [self._places[begin + column] for column in columns[first:last]]
            own = [place for place in places if place != BEFORE]
            if own:
                yield min(own), max(own) + 1
            elif self._moved[0] != BEFORE:
                yield self._moved

    def _read(self, begin: int, end: int) -> tuple[bytes, list[int]]:
        """The text of some columns, and for each of its bytes the column (counted from `begin`)."""
        characters = self._characters[begin:end]
        joined = "".join(characters)
        if joined.isascii() and len(joined) == len(characters):
            return joined.encode(), list(range(len(joined)))
        encoded = [_encode(character) for character in characters]
        columns = [column for column, one in enumerate(encoded) for _ in one]
        return b"".join(encoded), columns

    def _write(self, data: bytes, place: int) -> None:
        for number, text in enumerate(data.split(b"\t")):
            if number:
                self._go((self._column // _TAB_COLUMNS + 1) * _TAB_COLUMNS)
                place += 1
            if text.isascii():
                self._put(list(text.decode()), list(range(place, place + len(text))))
            else:
                self._write_text(text.decode("utf-8", "surrogateescape"), place)
            place += len(text)

    def _write_text(self, text: str, place: int) -> None:
        if NARROW.fullmatch(text):
            ends = accumulate((len(character.encode()) for character in text), initial=place)
            self._put(list(text), list(ends)[:-1])
        else:
            self._write_characters(text, place)

    def _write_characters(self, text: str, place: int) -> None:
        for character in text:
            columns = 1 if character >= "\udc80" and character <= "\udcff" else width(character)
            last = min(self._column, len(self._characters)) - 1
            while last > 0 and not self._characters[last]:
                last -= 1
            if columns:
                self._put([character, ""][:columns], [place] * columns)
            elif last >= 0:
                self._characters[last] += character
                self._note(last, last + 1)
            place += len(_encode(character))

    def _put(self, characters: list[str], places: list[int]) -> None:
        start = self._column
        room = MOST_COLUMNS - start
        if room <= 0 or not characters:
            return
        end = start + min(len(characters), room)
        self._fill(start)
        if self._inserts:
            self._insert(start, end - start)
        self._characters[start:end] = characters[:room]
        self._places[start:end] = places[:room]
        self._column = end
        self._note(start, end)

    def _move(self, move: bytes) -> None:
        if move[:1] == b"\b":
            self._go(self._column - len(move))
        elif move[:1] == b"\r":
            self._go(0)
        elif move in _SAVED:
            if self.follows_csi:
                self._obey(_SAVED[move], 0)
        elif (told := _MOVE.fullmatch(move)) and (self.follows_csi or told[2] == b"K"):
            self._obey(told[2], int(told[1][:_NUMBER_DIGITS] or b"0"))

    def _obey(self, final: bytes, number: int) -> None:
        count = max(number, 1)
        at = self._column
        match final:
            case b"D":
                self._go(at - count)
            case b"C" | b"a":
                self._go(at + count)
            case b"G" | b"`":
                self._go(count - 1)
            case b"X":
                self._erase(at, at + count)
            case b"P":
                self._take_out(at, at + count)
            case b"@":
                self._insert(at, count)
            case b"s":
                self._saved = at
            case b"u":
                self._go(self._saved)
            case b"h" | b"l":
                self._inserts = final == b"h" if number == _INSERT_MODE else self._inserts
            case _:
                self._erase_line(number)

    def _erase_line(self, which: int) -> None:
        if which == 0:
            self._take_out(self._column, len(self._characters))
        elif which == 1:
            self._erase(0, self._column + 1)
        elif which == 2:
            self._take_out(0, len(self._characters))

    def _erase(self, begin: int, end: int) -> None:
        end = min(end, len(self._characters))
        if begin < end:
            self._characters[begin:end] = [" "] * (end - begin)
            self._places[begin:end] = [BEFORE] * (end - begin)
            self._note(begin, end)

    def _take_out(self, begin: int, end: int) -> None:
        del self._characters[begin:end], self._places[begin:end]
        self._note(begin, begin)

    def _insert(self, at: int, count: int) -> None:
        count = min(count, MOST_COLUMNS)
        self._fill(at)
        self._characters[at:at] = [" "] * count
        self._places[at:at] = [BEFORE] * count
        del self._characters[MOST_COLUMNS:], self._places[MOST_COLUMNS:]

    def _go(self, column: int) -> None:
        self._column = min(max(column, 0), MOST_COLUMNS)

    def _fill(self, columns: int) -> None:
        missing = columns - len(self._characters)
        if missing > 0:
            self._characters += [" "] * missing
            self._places += [BEFORE] * missing

    def _note(self, begin: int, end: int) -> None:
        if self._changed is None:
            self._changed = (begin, end)
        else:
            self._changed = (min(self._changed[0], begin), max(self._changed[1], end))


def _split(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(place, text, what is between it and the next text) of the bytes, in their order."""
    place = 0
    for begin, end in find_hidden(data):
        if begin > place or _moves(data[begin:end]):
            yield place, data[place:begin], data[begin:end]
        place = end
    yield place, data[place:], b""


def _moves(sequence: bytes) -> bool:
    return sequence in (b"\b", b"\r") or sequence in _SAVED or _MOVE.fullmatch(sequence) is not None


def _encode(character: str) -> bytes:
    return character.encode("utf-8", "surrogateescape")
