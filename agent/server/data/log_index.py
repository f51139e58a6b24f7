"""The index of a log: where the lines of a journal are, part by part, so that nobody reads from its beginning to see its end. Pure.

A part is whole records, about PART_BYTES of them. Output is cut into records anywhere, so a line may have begun many
parts before the one that it ends in: each part says from where to read for its first lines to be whole. Offsets are the
journal's own, wherever its bytes lie: an archive keeps its parts beside them (`agent.server.data.archive.format`), a server
those of the journals that grow, and of these no more than it has room for.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.journal.format import (
    Annotation,
    AppChanged,
    Closed,
    FormAsked,
    Log,
    Opened,
    Record,
    StepChanged,
    Summary,
)
from agent.journal.samples import JobSample

PART_BYTES = 256 << 10
_MOST_PARTS = 1024  # of one journal; then every two become one
_MOST_ENTRIES = 1 << 15  # (part, step) of one journal; likewise
_MOST_STEPS = 10_000  # a journal with more of them is read from its beginning
_WEIGHT_OF_NOTHING = 8
_MOST_WEIGHT = 1 << 19  # of all journals together; then those go that nobody asked for longest


@dataclass(frozen=True, slots=True)
class Part:
    """Whole records of a journal."""

    start: int
    end: int
    lines: Mapping[int, int]  # by step, how many line ends are in it
    whole_from: int  # who reads from here on sees the lines that end in it whole
    first_ms: int = 0
    last_ms: int = 0

    def count(self, step: int | None) -> int:
        """How many lines end here: of `step`, or (None) of all steps."""
        return sum(self.lines.values()) if step is None else self.lines.get(step, 0)


class Parting:
    """Cuts a journal into parts, record by record."""

    def __init__(self, part_bytes: int = PART_BYTES) -> None:
        self.end = 0
        self._part_bytes = part_bytes
        self._begun: dict[
            int, int
        ] = {}  # by step, the start of the record in which its unfinished line begins
        self._open()

    def add(self, end: int, record: Record) -> Part | None:
        """The next record, up to the journal's offset `end`; gives the part that it completes."""
        self._note_lines(record)
        if (time_ms := getattr(record, "time_ms", None)) is not None:
            self._times[1:] = [time_ms]
        self.end = end
        return self.close() if self.end - self._start >= self._part_bytes else None

    def skip(self, end: int) -> None:
        """Up to `end` there are records of kinds that nobody here knows."""
        self.end = end

    def close(self) -> Part:
        """What was added since the last part."""
        part = self.read()
        self._open()
        return part

    def read(self) -> Part:
        """The part as far as it has come."""
        first, last = self._times[:1] or [0], self._times[-1:] or [0]
        return Part(self._start, self.end, self._lines, self._whole_from, first[0], last[0])

    def _open(self) -> None:
        self._start = self.end
        self._whole_from = min(self._begun.values(), default=self._start)
        self._lines: dict[int, int] = {}
        self._times: list[int] = []

    def _note_lines(self, record: Record) -> None:
        match record:
            case Log(step=step, data=data) if data:
                ends = data.count(b"\n")
                if ends:
                    self._lines[step] = self._lines.get(step, 0) + ends
                    self._begun.pop(step, None)
                if not data.endswith(b"\n"):
                    self._begun.setdefault(step, self.end)
            case StepChanged(step=step, state="completed"):  # what is unfinished is shown then
                self._begun.pop(step, None)
            case Closed():
                self._begun.clear()
            case (
                Opened()
                | Log()
                | StepChanged()
                | Annotation()
                | Summary()
                | AppChanged()
                | FormAsked()
                | JobSample()
            ):
                pass


class LogIndex:
    """The parts of one journal that grows, and the ids of its steps. The last part is still open."""

    def __init__(
        self, *, part_bytes: int = PART_BYTES, most_parts: int = _MOST_PARTS, most_steps: int = _MOST_STEPS
    ) -> None:
        self.parts: list[Part] = []
        self.ids: dict[int, str] = {}
        self.is_given_up = False
        self._most_parts = most_parts
        self._most_steps = most_steps
        self._parting = Parting(part_bytes)
        self._steps: set[int] = set()
        self._entries = 0

    @property
    def end(self) -> int:
        """Up to where the journal is known."""
        return self._parting.end

    @property
    def weight(self) -> int:
        """How much it holds, about."""
        return _WEIGHT_OF_NOTHING + len(self.parts) + self._entries + len(self.ids)

    def add(self, start: int, found: Sequence[tuple[int, Record]]) -> None:
        """Records that were read from `start` on; those that are known, and those behind a gap, change nothing."""
        if start > self.end or self.is_given_up:
            return
        for end, record in found:
            if end > self.end:
                self._add(end, record)
        if len(self._steps) > self._most_steps:
            self._give_up()

    def find_start(self, offset: int) -> int:
        """From where to read so that the lines behind `offset` are whole; the record that ends there is read, too."""
        found = 0
        for part in (*self.parts, self._parting.read()):
            if part.start < min(offset, part.end):
                found = part.whole_from
        return found

    def find_line(self, line: int, step: int | None) -> tuple[int, int]:
        """From where to read to see `line` (from 1; of `step`, or of all), and how many lines have ended before that."""
        start = ended = 0
        for part in self.parts:
            if ended + part.count(step) >= line - 1:
                break
            start, ended = part.end, ended + part.count(step)
        return start, ended

    def find_tail(self, count: int, step: int | None) -> int:
        """From where to read to see the last `count` lines."""
        ended, start = self._parting.read().count(step), self._parting.read().start
        for part in reversed(self.parts):
            if ended > count:
                break
            start, ended = part.start, ended + part.count(step)
        return start

    def _add(self, end: int, record: Record) -> None:
        if not isinstance(record, Closed) and (step := getattr(record, "step", None)) is not None:
            self._steps.add(step)
        if isinstance(record, StepChanged):
            self.ids[record.step] = record.id
        part = self._parting.add(end, record)
        if part is None:
            return
        self.parts.append(part)
        self._entries += len(part.lines)
        if len(self.parts) > self._most_parts or self._entries > _MOST_ENTRIES:
            self.parts = [_join(self.parts[place : place + 2]) for place in range(0, len(self.parts), 2)]
            self._entries = sum(len(part.lines) for part in self.parts)

    def _give_up(self) -> None:
        self.is_given_up = True
        self.parts, self.ids, self._steps, self._entries = [], {}, set(), 0
        self._parting = Parting()


class LogIndexes:
    """The indexes of one server, by (job, lease): as many as there is room for."""

    def __init__(self, *, most_weight: int = _MOST_WEIGHT) -> None:
        self.weight = 0
        self._most_weight = most_weight
        self._indexes: OrderedDict[tuple[str, int], LogIndex] = OrderedDict()

    def find(self, job: str, lease: int) -> LogIndex:
        """The index of a journal: what is known of it so far."""
        if (job, lease) not in self._indexes:
            self._indexes[job, lease] = LogIndex()
            self.weight += _WEIGHT_OF_NOTHING
        self._indexes.move_to_end((job, lease))
        return self._indexes[job, lease]

    def add(self, job: str, lease: int, start: int, found: Sequence[tuple[int, Record]]) -> None:
        """Records of a journal that were read from `start` on."""
        index = self.find(job, lease)
        self.weight -= index.weight
        index.add(start, found)
        self.weight += index.weight
        while self.weight > self._most_weight and len(self._indexes) > 1:
            self.weight -= self._indexes.popitem(last=False)[1].weight


def _join(parts: Sequence[Part]) -> Part:
    lines: dict[int, int] = {}
    for part in parts:
        for step, count in part.lines.items():
            lines[step] = lines.get(step, 0) + count
    first, last = parts[0], parts[-1]
    return Part(first.start, last.end, lines, first.whole_from, first.first_ms, last.last_ms)
