"""Mask search: where one of many forms stands in bytes. Two ways with one meaning: `FewForms` and, beyond some hundred forms, `ManyForms`.

A pattern of alternatives is the fastest for a handful of forms, and its cost is the number of forms at every byte. The other
way keeps the forms sorted: adding one is an insertion, and at each byte a look at its first four decides nearly always.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

_MOST_NEEDLES = 40  # beyond so many, one pattern is faster
_GATE_BYTES = 4
_FACTORED_BYTES = 2


class FewForms:
    """A search for a fixed set of forms."""

    def __init__(self, forms: Sequence[bytes]) -> None:
        self._ordered = sorted(forms, key=lambda form: (-len(form), form))
        self._needles = _find_needles(self._ordered)
        self._pattern: re.Pattern[bytes] | None = None  # once something has to be masked

    def matches(self, data: bytes) -> Iterator[tuple[int, int]]:
        """(start, end) of the longest form at every place where one begins; they may overlap."""
        # A few searches for plain bytes are several times faster than one for a pattern.
        if len(self._needles) <= _MOST_NEEDLES and not any(needle in data for needle in self._needles):
            return
        if self._pattern is None:  # it takes milliseconds to make, and most jobs print no secret
            self._pattern = re.compile(_describe(self._ordered))
        match = self._pattern.search(data)
        while match is not None:
            yield match.span()
            match = self._pattern.search(data, match.start() + 1)


class ManyForms:
    """A search for forms that may go on growing."""

    def __init__(self, ordered: list[bytes]) -> None:
        """`ordered` is sorted, and is kept so by whoever adds to it; `admit` is called for each that is added."""
        self._ordered = ordered
        self._gates: dict[int, set[bytes]] = {}  # by their length: how forms begin
        self._longest = 0
        for form in ordered:
            self.admit(form)

    def admit(self, form: bytes) -> None:
        """Find `form` from now on."""
        gate = form[:_GATE_BYTES]
        self._gates.setdefault(len(gate), set()).add(gate)
        self._longest = max(self._longest, len(form))

    def matches(self, data: bytes) -> Iterator[tuple[int, int]]:
        """(start, end) of the longest form at every place where one begins; they may overlap."""
        places = {
            start
            for size, found in self._gates.items()
            for start in range(len(data) - size + 1)
            if data[start : start + size] in found
        }
        for start in sorted(places):
            length = self._longest_at(data[start : start + self._longest])
            if length:
                yield start, start + length

    def _longest_at(self, text: bytes) -> int:
        """The length of the longest form with which `text` begins; 0 for none."""
        while text:
            place = bisect_right(self._ordered, text)
            before = self._ordered[place - 1] if place else b""
            if text.startswith(before):
                return len(before)
            text = text[
                : count_common(before, text)
            ]  # whatever else `text` begins with is no longer than this
        return 0


def is_known(ordered: Sequence[bytes], form: bytes) -> bool:
    """Whether `form` is one of the sorted forms."""
    place = bisect_left(ordered, form)
    return place < len(ordered) and ordered[place] == form


def find_unfinished(ordered: Sequence[bytes], longest: int, data: bytes) -> int:
    """Where the earliest unfinished form at the end of `data` begins; its length when there is none.

    `ordered` are the forms, sorted, the longest of which has `longest` bytes.
    """
    length = len(data)
    line = data.rfind(b"\n") + 1
    for start in range(max(line, length - longest + 1), length):
        tail = data[start:]
        place = bisect_right(ordered, tail)
        if place < len(ordered) and ordered[place].startswith(tail):
            return start
    return length


def _find_needles(forms: Sequence[bytes]) -> tuple[bytes, ...]:
    """Those of `forms` (longest first) that contain none of the others."""
    needles: list[bytes] = []
    for form in reversed(forms):
        if len(needles) <= _MOST_NEEDLES and not any(needle in form for needle in needles):
            needles.append(form)
    return tuple(needles)


def _describe(forms: Sequence[bytes], depth: int = _FACTORED_BYTES) -> bytes:
    """A pattern of `forms`, longest first; by how they begin, so that at each byte few of them are tried."""
    if depth == 0 or len(forms) == 1:
        return b"|".join(map(re.escape, forms))
    groups: dict[bytes, list[bytes]] = {}
    for form in forms:
        groups.setdefault(form[:1], []).append(form[1:])
    return b"|".join(
        re.escape(begin) + b"(?:" + _describe(rest, depth - 1) + b")" for begin, rest in groups.items()
    )


def count_common(one: bytes, other: bytes) -> int:
    """With how many equal bytes both begin."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
