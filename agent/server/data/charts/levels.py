"""The levels of a chart: points of 1 second, 10 seconds, 2 minutes, 20 minutes, in columns of whole numbers. Pure.

A point of a coarser level is made when the seconds of it are over, from their sum, least and most; those that came are counted, so
seconds that nobody saw make no point and change no mean.
"""

import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from agent.spec.figures import find_figure

if TYPE_CHECKING:
    Numbers = array[int]
else:
    Numbers = array  # which Python 3.11 can't subscript

NONE = -(1 << 31)  # in a column: nothing is known
_MOST = (1 << 31) - 1
_SPARE = 60  # so many points more than kept there may be, so that not each one costs a move of all
Sum = tuple[int, int, int, int]  # seconds, their sum, the least, the most
Sums = dict[int, Sum]  # by code


@cache
def columns_of(code: int) -> int:
    """How many columns the points of a figure have: mean; with a range, least and most; of bits, the part of the time and which."""
    found = find_figure(code)
    if found is None:
        return 1
    return 3 if found[0].has_range else 2 if found[0].is_set else 1


@cache
def is_set(code: int) -> bool:
    """Whether the values are bits."""
    found = find_figure(code)
    return found is not None and found[0].is_set


def sum_up(code: int, value: int, seconds: int) -> Sum:
    """The sum of a value that stood for so many seconds."""
    value = max(min(value, _MOST), -_MOST)
    if is_set(code):
        return seconds, 100 * seconds if value else 0, 0, value
    return seconds, value * seconds, value, value


def merge(one: Sum, two: Sum, code: int) -> Sum:
    """Both together."""
    most = one[3] | two[3] if is_set(code) else max(one[3], two[3])
    return one[0] + two[0], one[1] + two[1], min(one[2], two[2]), most


def merge_all(one: Sums, two: Sums) -> Sums:
    """Both together, figure by figure."""
    for code, found in two.items():
        known = one.get(code)
        one[code] = found if known is None else merge(known, found, code)
    return one


@dataclass(slots=True)
class Columns:
    """Points in the order of time: `times` are numbers of buckets, `columns` those of each code, all as long."""

    times: Numbers = field(default_factory=lambda: array("q"))
    columns: dict[int, list[Numbers]] = field(default_factory=dict)

    def append(self, bucket: int, count: int, values: Mapping[int, Sequence[int]]) -> None:
        """The same values in `count` buckets that follow each other from `bucket` on."""
        before = len(self.times)
        self.times.extend(range(bucket, bucket + count))
        for code, numbers in values.items():
            if code not in self.columns:
                self.columns[code] = [array("i", [NONE]) * before for _ in numbers]
            for column, number in zip(self.columns[code], numbers, strict=True):
                _extend(column, number, count)
        if len(values) < len(self.columns):
            for code, columns in self.columns.items():
                if code not in values:
                    for column in columns:
                        _extend(column, NONE, count)

    def trim(self, keep: int) -> None:
        """Forget the oldest points, so that `keep` are left."""
        over = len(self.times) - keep
        if over <= 0:
            return
        del self.times[:over]
        for columns in self.columns.values():
            for column in columns:
                del column[:over]

    def sums(self, step: int) -> Iterator[tuple[int, Sums]]:
        """Each bucket as sums again, of `step` seconds each."""
        for place, bucket in enumerate(self.times):
            yield (
                bucket,
                {
                    code: _sum_of([column[place] for column in columns], step)
                    for code, columns in self.columns.items()
                    if columns[0][place] != NONE
                },
            )

    def describe(self) -> dict[str, Any]:
        """What `load` needs beside the bytes."""
        return {
            "points": len(self.times),
            "codes": [[code, len(found)] for code, found in self.columns.items()],
        }

    def dump(self) -> bytes:
        """All numbers; those of equal weight in a byte beside each other, as compression likes them."""
        steps = array(
            "i",
            [min(after - before, _MOST) for before, after in zip([0, *self.times], self.times, strict=False)],
        )
        first = self.times[0] if self.times else 0
        if steps:
            steps[0] = 0
        parts = [first.to_bytes(8, "little", signed=True), _planes(steps)]
        parts += [_planes(column) for columns in self.columns.values() for column in columns]
        return b"".join(parts)

    @classmethod
    def load(cls, described: Mapping[str, Any], data: memoryview) -> tuple["Columns", int]:
        """What `dump` gave, and how many bytes of `data` it took."""
        points = described["points"]
        found, end = cls(), 8
        bucket = int.from_bytes(data[:8], "little", signed=True)
        steps, end = _from_planes(data, end, points)
        for step in steps:
            bucket += step
            found.times.append(bucket)
        for code, count in described["codes"]:
            columns = found.columns[code] = []
            for _ in range(count):
                column, end = _from_planes(data, end, points)
                columns.append(column)
        return found, end


@dataclass(slots=True)
class ChartLevel:
    """Points of `step` seconds, of which the newest `keep` are kept; `open` is the one that is not over."""

    step: int
    keep: int
    points: Columns = field(default_factory=Columns)
    open_at: int | None = None
    open: Sums = field(default_factory=dict)

    def add(self, second: int, sums: Sums) -> tuple[int, Sums] | None:
        """What `second` (and some behind it, within the step) had; gives the point that is over with it, by its first second."""
        bucket, closed = second // self.step, None
        if self.open_at is not None and bucket > self.open_at:
            closed = self.open_at * self.step, self.open
            self.points.append(
                self.open_at, 1, {code: point_of(code, found) for code, found in self.open.items()}
            )
            if len(self.points.times) > self.keep + _SPARE:
                self._make_room()
            self.open_at, self.open = bucket, {}
        if self.open_at is None:
            self.open_at = bucket
        self.open = merge_all(self.open, sums) if self.open else dict(sums)
        return closed

    def _make_room(self) -> None:
        self.points.trim(self.keep)


@dataclass(slots=True)
class LastLevel(ChartLevel):
    """The coarsest one: where it is full, every two points become one, and nothing is forgotten."""

    def _make_room(self) -> None:
        wide = ChartLevel(self.step * 2, self.keep + len(self.points.times))
        for bucket, sums in self.points.sums(self.step):
            wide.add(bucket * self.step, sums)
        if wide.open_at is not None:
            wide.points.append(
                wide.open_at, 1, {code: point_of(code, found) for code, found in wide.open.items()}
            )
        self.points, self.step = wide.points, wide.step


def point_of(code: int, found: Sum) -> tuple[int, ...]:
    """The columns of a point."""
    seconds, total, least, most = found
    mean = round(total / seconds)
    if is_set(code):
        return mean, most
    return (mean, least, most)[: columns_of(code)]


def _extend(column: Numbers, number: int, count: int) -> None:
    if count == 1:  # nearly always
        column.append(number)
    else:
        column.extend(array("i", [number]) * count)


def _sum_of(numbers: Sequence[int], seconds: int) -> Sum:
    mean, least, most = numbers[0], numbers[0], numbers[0]
    if len(numbers) == 2:
        least, most = 0, numbers[1]
    elif len(numbers) == 3:
        least, most = numbers[1], numbers[2]
    return seconds, mean * seconds, least, most


def _planes(numbers: Numbers) -> bytes:
    raw = _little(numbers).tobytes()
    return b"".join(raw[place::4] for place in range(4))


def _from_planes(data: memoryview, start: int, count: int) -> tuple[Numbers, int]:
    raw = bytearray(4 * count)
    for place in range(4):
        raw[place::4] = data[start + place * count : start + (place + 1) * count]
    numbers = array("i")
    numbers.frombytes(bytes(raw))
    return _little(numbers), start + 4 * count


def _little(numbers: Numbers) -> Numbers:
    if sys.byteorder == "big":
        numbers = array("i", numbers)
        numbers.byteswap()
    return numbers
