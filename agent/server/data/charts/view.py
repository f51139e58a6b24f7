"""The view of a chart: points of one width between two moments, as public JSON. Pure."""

from collections.abc import Iterator
from typing import Any

import msgspec

from agent.journal.load import name_figure, show_value
from agent.server.data.charts.chart import Chart
from agent.server.data.charts.levels import ChartLevel, Sums, is_set, merge_all, point_of, sum_up
from agent.spec.figures import find_figure, name_slowdowns


class SeriesView(msgspec.Struct):
    """One figure, a number or null for each time: nobody looked, or it could not be had. `gpu` is a place in the chart's `gpus`; null: the job's.

    Of some only the mean is kept. Of `throttled` the mean is the percentage of the time, and `reasons` are all that there were.
    """

    name: str
    gpu: int | None
    mean: list[float | None]
    least: list[float | None] | None = None
    most: list[float | None] | None = None
    reasons: list[str] | None = None


class ChartView(msgspec.Struct):
    """Points of `step_seconds` each, that begin at `times` (seconds since 1970), without gaps between the numbers: a time without a sample is in it, with nulls."""

    job: str
    lease: int
    step_seconds: int
    first: int | None  # of all samples, and the last one
    last: int | None
    gpus: list[dict[str, Any]]
    times: list[int]
    series: list[SeriesView]


def view_chart(
    chart: Chart, job: str, lease: int, start: int | None, end: int | None, points: int
) -> ChartView:
    """The chart from `start` until `end` (seconds; None: its own), in `points` points at most."""
    if chart.first is None:
        return ChartView(job, lease, 1, None, None, [], [], [])
    start = max(start if start is not None else chart.first, chart.first)
    end = min(end if end is not None else chart.last, chart.last)
    step, found = _choose(chart, start, end, points)
    first, last = start // step, end // step
    buckets: dict[int, Sums] = {}
    for bucket, sums in found:
        if first <= bucket <= last:
            buckets[bucket] = merge_all(buckets.get(bucket, {}), sums)
    numbers = list(range(first, last + 1))
    codes = sorted({code for sums in buckets.values() for code in sums})
    series = [_view_series(code, [buckets.get(number, {}).get(code) for number in numbers]) for code in codes]
    times = [number * step for number in numbers]
    return ChartView(
        job, lease, step, chart.first, chart.last, chart.gpus, times, [one for one in series if one]
    )


def _choose(chart: Chart, start: int, end: int, points: int) -> tuple[int, Iterator[tuple[int, Sums]]]:
    """The finest points that reach back to `start` and are not too many; those of the coarsest level are put together until they are few."""
    span = end - start + 1
    if span <= points and chart.seconds.times and chart.seconds.times[0] <= start:
        return 1, _seconds(chart)
    place = next(
        (
            place
            for place, level in enumerate(chart.levels)
            if _reaches(level, start) and span // level.step + 2 <= points
        ),
        len(chart.levels) - 1,
    )
    level = chart.levels[place]
    width = max(-(-span // (max(points - 1, 1) * level.step)), 1)
    return level.step * width, ((bucket // width, sums) for bucket, sums in _points(chart, place))


def _reaches(level: ChartLevel, start: int) -> bool:
    """Whether its points begin where the chart does, or at `start`."""
    times = level.points.times
    return not times or times[0] * level.step <= start + level.step


def _seconds(chart: Chart) -> Iterator[tuple[int, Sums]]:
    for bucket, sums in chart.seconds.sums(1):
        yield bucket, {code: sum_up(code, found[3], 1) for code, found in sums.items()}


def _points(chart: Chart, place: int) -> Iterator[tuple[int, Sums]]:
    level = chart.levels[place]
    yield from level.points.sums(level.step)
    for bucket, sums in chart.pending(place).items():
        yield bucket, dict(sums)


def _view_series(code: int, sums: list[Any]) -> SeriesView | None:
    found = find_figure(code)
    if found is None:
        return None
    figure, slot = found
    points = [None if one is None else point_of(code, one) for one in sums]
    if is_set(code):
        bits = 0
        for point in points:
            bits |= point[-1] if point else 0
        mean: list[float | None] = [None if point is None else point[0] for point in points]
        return SeriesView("throttled_percent_of_time", slot, mean, reasons=name_slowdowns(bits))
    columns: list[list[float | None]] = [
        [None if point is None else show_value(figure, point[place]) for point in points]
        for place in range(3 if figure.has_range else 1)
    ]
    least, most = (columns[1], columns[2]) if figure.has_range else (None, None)
    return SeriesView(name_figure(figure), slot, columns[0], least, most)
