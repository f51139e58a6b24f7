"""The chart of a job: its samples, folded second by second. Pure.

    sample --> seconds (the last 10 minutes) --> 10 seconds (1 hour) --> 2 minutes (12 hours) --> 20 minutes (all)

What comes of samples is the same however they were cut into parts, and wherever the chart was stored between. Seconds that nobody sampled are
gaps: they have no point.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.errors import DamagedError
from agent.journal.samples import JobSample
from agent.server.data.charts.levels import ChartLevel, Columns, LastLevel, Sums, merge_all, sum_up

MOST_BYTES = 300_000  # stored
_SECONDS = 600
_MOST_HELD = 600  # a sampler says all again each minute
_MOST_JUMP = 400 * 86_400  # seconds: a clock that is further off is no time of ours
_MOST_SERIES = 2048
_SLACK = 2  # seconds: a timer is late now and then, and that is no gap


def _levels() -> list[ChartLevel]:
    return [ChartLevel(10, 360), ChartLevel(120, 360), LastLevel(1200, 720)]


@dataclass(slots=True)
class Chart:
    """`first` and `last` are the seconds (since 1970) of the first and the last sample; `seconds` are points of one second."""

    first: int | None = None
    last: int = 0
    values: dict[int, int] = field(default_factory=dict)  # as they stand; without those that can't be had
    gpus: list[dict[str, Any]] = field(default_factory=list)
    seconds: Columns = field(default_factory=Columns)
    levels: list[ChartLevel] = field(default_factory=_levels)

    def add(self, sample: JobSample) -> None:
        """The next sample of the journal."""
        second = sample.time_ms // 1000
        if self.first is None:
            self.first, self.last = second, second - 1
        elif not 0 <= second - self.first <= _MOST_JUMP:
            second = self.last + 1  # the machine's clock was set
        held = min(max(sample.held, 0), _MOST_HELD, max(second - 1 - self.last, 0))
        if 0 < second - 1 - self.last - held <= _SLACK:
            held = second - 1 - self.last
        if held:
            self._run(self.last + 1, held)
        self._take(sample)
        if second > self.last:
            self._run(second, 1)
            self.last = second

    def _take(self, sample: JobSample) -> None:
        for code, value in sample.values.items():
            if value is None:
                self.values.pop(code, None)
            elif code in self.values or len(self.values) < _MOST_SERIES:
                self.values[code] = value
        gpus = sample.names.get("gpus")
        if isinstance(gpus, list):
            self.gpus = [_name_gpu(gpu) for gpu in gpus[:128]]

    def _run(self, start: int, count: int) -> None:
        """The values stood for `count` seconds from `start` on."""
        step, summed, sums = self.levels[0].step, 0, {}
        numbers = {code: (_bound(value),) for code, value in self.values.items()}
        while count:
            part = min(count, step - start % step)
            self.seconds.append(start, part, numbers)
            if part != summed:  # of a long run most parts are as long as each other
                summed, sums = part, {code: sum_up(code, value, part) for code, value in self.values.items()}
            self._cascade(start, sums)
            start, count = start + part, count - part
        if len(self.seconds.times) > _SECONDS + 60:
            self.seconds.trim(_SECONDS)

    def _cascade(self, second: int, sums: Sums) -> None:
        for level in self.levels:
            closed = level.add(second, sums)
            if closed is None:
                return
            second, sums = closed[0], dict(closed[1])

    def pending(self, place: int) -> dict[int, Sums]:
        """What the level at `place` has not made points of yet, by the first second of where it will be."""
        step, found = self.levels[place].step, dict[int, Sums]()
        for level in reversed(self.levels[: place + 1]):
            if level.open_at is not None:
                bucket = level.open_at * level.step // step
                found[bucket] = merge_all(found.get(bucket, {}), level.open)
        return found


def dump_chart(chart: Chart, *, most_bytes: int = MOST_BYTES) -> bytes:
    """The chart as bytes, `most_bytes` at most: where it has more, its finest points are fewer."""
    while True:
        data = _dump(chart)
        if len(data) <= most_bytes:
            return data
        finest = [chart.seconds, *(level.points for level in chart.levels)]
        longest = next((points for points in finest[:-1] if len(points.times) > 8), finest[-1])
        longest.trim(len(longest.times) // 2)


def load_chart(data: bytes) -> Chart:
    """What `dump_chart` gave. Raises DamagedError."""
    try:
        raw = zlib.decompress(data)
        length = int.from_bytes(raw[:4], "little")
        head = json.loads(raw[4 : 4 + length])
        body, end = memoryview(raw), 4 + length
        chart = Chart(head["first"], head["last"], _by_number(head["values"]), head["gpus"])
        chart.seconds, used = Columns.load(head["seconds"], body[end:])
        end += used
        for level, described in zip(chart.levels, head["levels"], strict=True):
            level.step, level.open_at = described["step"], described["open_at"]
            level.open = {code: tuple(found) for code, found in _by_number(described["open"]).items()}
            level.points, used = Columns.load(described, body[end:])
            end += used
    except (zlib.error, ValueError, KeyError, TypeError, IndexError) as error:
        raise DamagedError(f"a chart can't be read: {error}") from None
    return chart


def _dump(chart: Chart) -> bytes:
    described = [
        {**level.points.describe(), "step": level.step, "open_at": level.open_at, "open": level.open}
        for level in chart.levels
    ]
    head = {
        "first": chart.first,
        "last": chart.last,
        "values": chart.values,
        "gpus": chart.gpus,
        "seconds": chart.seconds.describe(),
        "levels": described,
    }
    text = json.dumps(head, separators=(",", ":")).encode()
    columns = [chart.seconds, *(level.points for level in chart.levels)]
    parts = [len(text).to_bytes(4, "little"), text, *(part.dump() for part in columns)]
    return zlib.compress(b"".join(parts), 6)


def _by_number(found: Mapping[str, Any]) -> dict[int, Any]:
    return {int(code): value for code, value in found.items()}


def _bound(value: int) -> int:
    return max(min(value, (1 << 31) - 1), 1 - (1 << 31))


def _name_gpu(gpu: object) -> dict[str, Any]:
    if not isinstance(gpu, dict):
        return {}
    named: dict[str, Any] = {
        key: str(gpu[key])[:200] for key in ("uuid", "name") if isinstance(gpu.get(key), str)
    }
    total = gpu.get("memory_total_bytes")
    return {**named, "memory_total_bytes": total} if isinstance(total, int) and 0 < total < 1 << 53 else named
