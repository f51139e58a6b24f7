"""The fold of samples into charts: the same however it is cut, small after nine days, and gaps are gaps."""

import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import DamagedError
from agent.journal.samples import JobSample
from agent.server.data.charts.chart import MOST_BYTES, Chart, dump_chart, load_chart
from agent.server.data.charts.view import ChartView, view_chart
from agent.spec.figures import CPU, GPU_BUSY, GPU_THROTTLED, OF_GPU, OF_JOB, code_of

START = 1_800_000_000
BUSY = code_of(GPU_BUSY, 0)
CODES = [code_of(CPU), BUSY, code_of(GPU_THROTTLED, 0), 4000]
STEPS = st.lists(
    st.tuples(
        st.integers(1, 400),  # seconds after the one before
        st.integers(0, 500),  # held
        st.dictionaries(st.sampled_from(CODES), st.none() | st.integers(-5, 300), max_size=3),
    ),
    max_size=40,
)


def samples_of(steps: Iterable[tuple[int, int, dict[int, int | None]]]) -> list[JobSample]:
    second, found = START, []
    for ahead, held, values in steps:
        second += ahead
        found.append(JobSample(second * 1000, values, held))
    return found


def fold(samples: Iterable[JobSample], chart: Chart | None = None) -> Chart:
    chart = chart or Chart()
    for sample in samples:
        chart.add(sample)
    return chart


def look(chart: Chart, start: int | None = None, end: int | None = None, points: int = 500) -> ChartView:
    return view_chart(chart, "job", 1, start, end, points)


def mean(view: ChartView, name: str = "utilization_percent") -> list[float | None]:
    return next(series.mean for series in view.series if series.name == name)


@settings(deadline=None, max_examples=40)
@given(STEPS, st.integers(0, 40))
def test_a_fold_of_parts_stored_between_is_the_fold_of_the_whole(
    steps: list[tuple[int, int, dict[int, int | None]]], cut: int
) -> None:
    samples = samples_of(steps)
    part = load_chart(dump_chart(fold(samples[:cut])))
    assert fold(samples[cut:], part) == fold(samples)


@settings(deadline=None, max_examples=40)
@given(STEPS, st.integers(2, 50))
def test_times_are_in_order_and_each_figure_has_a_point_for_each(
    steps: list[tuple[int, int, dict[int, int | None]]], points: int
) -> None:
    view = look(fold(samples_of(steps)), points=points)
    assert view.times == sorted(set(view.times))
    assert len(view.times) <= points + 1
    for series in view.series:
        assert len(series.mean) == len(view.times)
        columns = (series.least or series.mean, series.mean, series.most or series.mean)
        for least, middle, most in zip(*columns, strict=True):
            if middle is not None and least is not None and most is not None:
                assert least <= middle <= most


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 100), min_size=1, max_size=900))
def test_the_mean_of_a_coarse_point_is_that_of_its_seconds(loads: list[int]) -> None:
    chart = fold(JobSample((START + place) * 1000, {BUSY: load}) for place, load in enumerate(loads))
    view = look(chart, points=100)
    for time, value in zip(view.times, mean(view), strict=True):
        inside = loads[max(time - START, 0) : time - START + view.step_seconds]
        assert value == pytest.approx(sum(inside) / len(inside), abs=1)


def test_the_first_minutes_are_seconds_and_the_whole_is_coarse() -> None:
    chart = fold(JobSample((START + place) * 1000, {BUSY: place % 100}) for place in range(5000))
    newest = look(chart, START + 4900, START + 4999)
    assert newest.step_seconds == 1
    assert mean(newest) == [float(place) for place in range(100)]
    whole = look(chart)
    assert whole.step_seconds == 120
    assert len(whole.times) == 42


def test_where_nobody_looked_there_is_a_gap_and_what_came_before_is_not_drawn_on() -> None:
    chart = fold([JobSample(START * 1000, {BUSY: 50}), JobSample((START + 60) * 1000, {BUSY: 70}, held=9)])
    found = mean(look(chart))
    assert found[:10] == [50.0] * 10
    assert found[10:60] == [None] * 50
    assert found[60] == 70


def test_a_figure_that_can_not_be_had_is_a_gap_of_that_figure_only() -> None:
    said: list[dict[int, int | None]] = [{BUSY: 50, code_of(CPU): 10}, {BUSY: None}, {}, {BUSY: 60}]
    view = look(fold(JobSample((START + place) * 1000, values) for place, values in enumerate(said)))
    assert mean(view) == [50, None, None, 60]
    assert mean(view, "cpu_percent") == [10, 10, 10, 10]


def test_what_slowed_a_gpu_down_is_gathered() -> None:
    code = code_of(GPU_THROTTLED, 0)
    bits = (0, 4, 64, 0)
    view = look(fold(JobSample((START + place) * 1000, {code: value}) for place, value in enumerate(bits)))
    (series,) = view.series
    assert series.reasons == ["power cap", "hardware thermal slowdown"]
    assert series.mean == [0, 100, 100, 0]


def test_a_clock_that_is_set_back_or_far_ahead_spoils_nothing() -> None:
    jumps = (START, START - 5000, START + (1 << 40), START + 3)
    chart = fold(JobSample(second * 1000, {BUSY: 50}) for second in jumps)
    assert mean(look(chart)) == [50.0] * 4


def test_nine_days_of_eight_gpus_are_300_kilobytes_at_most() -> None:
    chance, chart = random.Random(1), Chart()
    noisy = [code_of(figure) for figure in OF_JOB]
    noisy += [code_of(figure, slot) for figure in OF_GPU for slot in range(8)]
    for second in range(START, START + 9 * 86_400, 300):
        chart.add(JobSample(second * 1000, {code: chance.randrange(1000) for code in noisy}, held=299))
    for second in range(
        chart.last + 1, chart.last + 660
    ):  # the newest minutes: all of them change each second
        chart.add(JobSample(second * 1000, {code: chance.randrange(1000) for code in noisy}))
    data = dump_chart(chart)
    assert len(data) <= MOST_BYTES
    kept = load_chart(data)
    assert kept == chart
    view = look(kept)
    assert view.first == START
    assert len(view.times) * view.step_seconds >= 9 * 86_400
    assert all(value is not None for value in mean(view))


def test_a_chart_of_more_gpus_than_there_is_room_for_keeps_its_beginning_and_is_coarser() -> None:
    chance, chart = random.Random(1), Chart()
    codes = [code_of(figure, slot) for figure in OF_GPU for slot in range(32)]
    for second in range(START, START + 700):
        chart.add(JobSample(second * 1000, {code: chance.randrange(100_000) for code in codes}))
    data = dump_chart(chart, most_bytes=100_000)
    assert len(data) <= 100_000
    view = look(load_chart(data))
    assert view.times[0] <= START


@given(st.binary(max_size=50))
def test_any_bytes_are_a_chart_or_damage(data: bytes) -> None:
    with pytest.raises(DamagedError):
        load_chart(data)
