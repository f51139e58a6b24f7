r"""Escapes: text as who undoes `%2F`, `\"` and `\u00e4` reads it, whatever was escaped, in which digits and how often. Pure.

For who masks: each program has its own opinion of what must be escaped, so what is compared is both sides without escapes. Runs of
backslashes count as one, and so do `%25`s (JSON in JSON, a URL in a URL). An escaped control is its letter (`\n` is `n`), an escaped
backslash nothing; no escape ends or begins a line.

Sources: RFC 3986 (2.1), RFC 8259 (7), bash (QUOTING), Python and ECMAScript (string literals; `escape`).
"""

import re
from bisect import bisect_right
from typing import Final

_MOST_REPEATED: Final = 32  # backslashes, for one escape: what may become one is held back
_RUN: Final = rf"\\{{1,{_MOST_REPEATED}}}"
_PERCENT: Final = r"%(?:25){0,4}"
_X: Final = r"[0-9a-fA-F]"
_HIGH: Final = rf"u([dD][89abAB]{_X}{{2}})"  # the first half of a pair of UTF-16, as JSON writes it
_UNICODE: Final = rf"{_HIGH}{_RUN}u([dD][c-fC-F]{_X}{{2}})|u({_X}{{4}})|U({_X}{{8}})"
_BYTES: Final = rf"x({_X}{{2}})|([0-3][0-7]{{2}})"
_ESCAPE: Final = rf"{_RUN}(?:{_UNICODE}|{_BYTES}|[^\n\\])?|{_PERCENT}(?:u({_X}{{4}})|({_X}{{2}}))".encode()
# What may be the beginning of one, or of a longer one, and no more has come.
_OPEN: Final = (
    rf"(?:{_RUN}(?:{_HIGH}(?:{_RUN}(?:u{_X}{{0,3}})?)?|u{_X}{{0,3}}|U{_X}{{0,7}}|x{_X}?|[0-3][0-7]?)?"
    rf"|{_PERCENT}(?:{_X}?|u{_X}{{0,3}}))\Z".encode()
)
_PATTERN: Final = re.compile(_ESCAPE)
_PATTERN_OR_OPEN: Final = re.compile(b"(?P<open>" + _OPEN + b")|" + _ESCAPE)
_NUMBERED: Final = re.compile(rb"\\[uUx0-3]|%")
_PERCENTED: Final = re.compile(rb"%[0-9a-fA-Fu][0-9a-fA-F]")
_LONGEST_OPEN: Final = 16  # of those that begin with a `%`
_LETTERS: Final = {8: b"b", 9: b"t", 10: b"n", 12: b"f", 13: b"r", 0x5C: b""}


def has_escapes(data: bytes) -> bool:
    """Whether something in the bytes is escaped, or may be."""
    return b"\\" in data or (b"%" in data and _PERCENTED.search(data) is not None)


def may_open(data: bytes) -> bool:
    """Whether something in the bytes is escaped, or may be once more has come."""
    return has_escapes(data) or b"%" in data[-_LONGEST_OPEN:]


def undo_escapes(data: bytes) -> bytes:
    """The bytes without escapes, for comparison with others that are, too."""
    if _NUMBERED.search(data) is None:
        return data.replace(b"\\", b"")
    return _PATTERN.sub(_undo, data)


class UnescapedText:
    """Bytes without their escapes: `text`, and where it stands in the bytes."""

    def __init__(self, data: bytes, *, is_whole: bool = True) -> None:
        """Unless `data` `is_whole`, `text` ends before what may be the beginning of an escape: at `opened`."""
        self.opened = len(data)
        self._starts: list[int] = []  # of the pieces, in `text`: what was escaped is one, and what is between
        self._pieces: list[tuple[int, int, bool]] = []  # where they stand, and whether escaped
        self._escapes: list[tuple[int, int]] = []
        self._length = 0
        parts: list[bytes] = []
        place = 0
        for match in (_PATTERN if is_whole else _PATTERN_OR_OPEN).finditer(data):
            begin, end = match.span()
            self._add(parts, data[place:begin], place, begin)
            place = end
            if not is_whole and match["open"] is not None:
                self.opened = begin
                break
            self._escapes.append((begin, end))
            self._add(parts, _undo(match), begin, end, is_escape=True)
        else:
            self._add(parts, data[place:], place, len(data))
        self.text = b"".join(parts)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """(start, end) in the bytes of what is `text[start:end]`, which is not empty."""
        return self._find(start)[0], self._find(end - 1)[1]

    def find_around(self, place: int) -> int:
        """Where the escape begins that `place` is inside of; `place` when it is in none."""
        number = bisect_right(self._escapes, place, key=lambda span: span[0]) - 1
        return self._escapes[number][0] if number >= 0 and place < self._escapes[number][1] else place

    def _add(self, parts: list[bytes], text: bytes, begin: int, end: int, *, is_escape: bool = False) -> None:
        if text:
            parts.append(text)
            self._starts.append(self._length)
            self._pieces.append((begin, end, is_escape))
            self._length += len(text)

    def _find(self, index: int) -> tuple[int, int]:
        number = bisect_right(self._starts, index) - 1
        begin, end, is_escape = self._pieces[number]
        if is_escape:
            return begin, end
        return begin + index - self._starts[number], begin + index - self._starts[number] + 1


def _undo(match: re.Match[bytes]) -> bytes:
    groups = match.groups()[-8:]
    if not any(groups):
        return match[0][-1:].replace(b"\\", b"")
    high, low, short, long, byte, octal, percent_unicode, percent = groups
    if high is not None:
        code = 0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low, 16) & 0x3FF)
    elif octal is not None:
        code = int(octal, 8)
    else:
        code = int(short or long or byte or percent_unicode or percent, 16)
    if code in _LETTERS:
        return _LETTERS[code]
    if byte or octal or percent:
        return bytes([code])
    return chr(code).encode("utf-8", "replace") if code < 0x110000 else b"?"
