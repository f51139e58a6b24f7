"""A log as lines: a part of it by number, or its end. Pure.

The log is the bytes of its records, one after the other; with a step, of that step's records alone. Lines are counted
from 1; the last one may have no end.
"""

from collections import deque
from collections.abc import Iterable

from agent.journal.format import Log, Record

_MOST_TAIL_BYTES = 16 << 20


def text_of(records: Iterable[tuple[int, Record]], step: int | None) -> bytes:
    """The output in `records`: of `step`, or of all."""
    return b"".join(
        record.data
        for _, record in records
        if isinstance(record, Log) and (step is None or record.step == step)
    )


class Cut:
    """Lets `count` lines through (None: all), from line `first` on."""

    def __init__(self, first: int, count: int | None) -> None:
        self._to_skip = first - 1
        self._left = count

    @property
    def is_done(self) -> bool:
        """Nothing more will come through."""
        return self._left == 0

    def skip(self, lines: int) -> None:
        """So many lines have ended that are not shown to `take`."""
        self._to_skip -= lines

    def take(self, data: bytes) -> bytes:
        """What of the next bytes is wanted."""
        place = 0
        while self._to_skip > 0:
            end = data.find(b"\n", place)
            if end < 0:
                return b""
            place, self._to_skip = end + 1, self._to_skip - 1
        if self._left is None:
            return data[place:]
        end = place
        while self._left > 0:
            found = data.find(b"\n", end)
            if found < 0:
                return data[place:]
            end, self._left = found + 1, self._left - 1
        return data[place:end]


class Tail:
    """Keeps the last `count` lines of what it is given, from the front or (`prepend`) from the back."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pieces: deque[bytes] = deque()
        self._ends = 0
        self._size = 0

    @property
    def is_full(self) -> bool:
        """What comes before would not be among the last lines (the end of the last one counts for none)."""
        return self._ends > self._count or self._size > _MOST_TAIL_BYTES

    def append(self, data: bytes) -> None:
        """The next bytes."""
        self._add(data)
        self._pieces.append(data)
        while self._pieces and self._is_spare(self._pieces[0]):
            first = self._pieces.popleft()
            self._ends -= first.count(b"\n")
            self._size -= len(first)

    def prepend(self, data: bytes) -> None:
        """The bytes before."""
        self._add(data)
        self._pieces.appendleft(data)

    def read(self) -> bytes:
        """The lines."""
        data = b"".join(self._pieces)[-_MOST_TAIL_BYTES:]
        end = len(data) - data.endswith(b"\n")
        for _ in range(self._count):
            end = data.rfind(b"\n", 0, end)
            if end < 0:
                return data
        return data[end + 1 :]

    def _add(self, data: bytes) -> None:
        self._ends += data.count(b"\n")
        self._size += len(data)

    def _is_spare(self, first: bytes) -> bool:
        return self._ends - first.count(b"\n") > self._count or self._size - len(first) > _MOST_TAIL_BYTES
