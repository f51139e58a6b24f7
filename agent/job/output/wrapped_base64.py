"""Base64 that is cut into lines: pieces of a secret's digits, whatever stands before it and in whatever column a line ends.

The digits of each alignment are known by their windows, which begin where groups of four do. A piece is as long as it goes; one that
is too short to hold a window for certain, at the end of a line or the beginning of another, is none.
"""

import base64
import re
import string
from collections.abc import Iterator
from typing import Final

from agent.job.output.mask_search import count_common
from agent.mask_forms import encode_printed

LEAST_BYTES: Final = 24  # of a secret: what is shorter has no piece in each of two lines
MOST_BYTES: Final = 32 << 10  # of all secrets whose pieces are known
_WINDOW: Final = 16  # digits; those of 12 bytes
_GROUP: Final = 4
_LEAST_PIECE: Final = _WINDOW + _GROUP - 1
_MOST_HELD: Final = (
    160  # digits: lines that are longer are masked as well, but for a window where a chunk ends
)
_FIRST_DIGITS: Final = (0, 2, 3)  # of each alignment, that the secret's bytes alone decide
_DIGITS: Final = (string.ascii_letters + string.digits + "+/-_").encode()
_RUN: Final = re.compile(rb"[A-Za-z0-9+/_-]{%d,}" % _LEAST_PIECE)
_LAST_RUN: Final = re.compile(rb"[A-Za-z0-9+/_-]{1,%d}\Z" % _MOST_HELD)
_ARE_DIGITS: Final = bytes(0x41 if byte in _DIGITS else 0x20 for byte in range(256))
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


class WrappedBase64:
    """A search for pieces of the base64 of secrets."""

    def __init__(self) -> None:
        self._all = b""  # the digits of each secret in each alignment, on lines
        self._bytes = 0
        self._windows: dict[bytes, list[tuple[bytes, int]]] = {}

    def add(self, value: str) -> None:
        """Find pieces of `value` from now on, if it is long enough to have any, and there is room for it."""
        data = encode_printed(value.strip())
        if len(data) < LEAST_BYTES or self._bytes + len(data) > MOST_BYTES:
            return
        self._bytes += len(data)
        for shift, first in enumerate(_FIRST_DIGITS):
            digits = base64.b64encode(b"\0" * shift + data)[: (shift + len(data)) * 8 // 6]
            known = digits[first:]
            if known in self._all:
                continue
            self._all += known + b"\n"
            for place in range(-first % _GROUP, len(known) - _WINDOW + 1, _GROUP):
                self._windows.setdefault(known[place : place + _WINDOW], []).append((known, place))

    def matches(self, data: bytes) -> Iterator[tuple[int, int]]:
        """(start, end) of each piece; they may overlap."""
        if not self._all or b"A" * _LEAST_PIECE not in data.translate(_ARE_DIGITS):
            return
        for found in _RUN.finditer(data):
            run = found[0].translate(_STANDARD)
            for start, end in self._find(run):
                yield found.start() + start, found.start() + end

    def find_unfinished(self, data: bytes) -> int:
        """Where a piece at the end of `data` begins that may become one; the data's length when there is none."""
        found = _LAST_RUN.search(data, max(0, len(data) - _MOST_HELD)) if self._all else None
        if found is None:
            return len(data)
        run = found[0].translate(_STANDARD)
        begin, end = 0, len(run)  # what is the end of a piece is so, too, of which a part is left out
        while begin < end:
            middle = (begin + end) // 2
            if run[middle:] in self._all:
                end = middle
            else:
                begin = middle + 1
        return found.start() + begin

    def _find(self, run: bytes) -> Iterator[tuple[int, int]]:
        ends: dict[tuple[bytes, int], int] = {}  # of the pieces, by what they are of and how they lie
        for place in range(len(run) - _WINDOW + 1):
            for known, at in self._windows.get(run[place : place + _WINDOW], ()):
                lie = (known, place - at)
                if place < ends.get(lie, 0):
                    continue
                before = count_common(run[:place][::-1], known[:at][::-1])
                after = count_common(run[place:], known[at:])
                ends[lie] = place + after
                if before + after >= _LEAST_PIECE:
                    yield place - before, place + after
