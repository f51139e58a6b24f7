"""Cron: GitHub's reading of five fields."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from agent.flow.cron import expand_cron, is_cron, last_time, next_time, shortest_gap_minutes


@pytest.mark.parametrize(
    "text",
    [
        "0 0 * * *", "0 000 001 * *", "2,10 4,5 * * *", "30 4-6 * * *", "0 4-4 * * *", "20/15 * * * *", "28 5,*/4,6-8 * * *",
        "0 0 * * SUN", "0 0 * * sun-TUE", "0 0 * JAN-3 *", "0 2-4/5 * * *", "0   0  *  *   *", "59 23 31 12 6", "0 5 * * *\n",
    ],
)  # fmt: skip
def test_five_good_fields_are_cron(text):
    assert is_cron(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "0 0 * *", "0 0 * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 7", "0 -1 * * *", "0 1- * * *",
        "0 /1 * * *", "0 1/ * * *", "0 ,1 * * *", "0 1, * * *", "0 5--5 * * *", "0 *//5 * * *", "0 */* * * *", "0 5/* * * *",
        "0 *-4 * * *", "0 ** * * *", "0 0 * * BUN", "0 0 * SUN *", "0 0 * * FRI-TUE", "0 12-4 * * *", "0 */0 * * *",
        "0 2/4-5 * * *", "0 2-4-6 * * *", "0 2/4/6 * * *", "* * * */FEB *", " 0 0 * * *", "0 0 * * * ", "0\t0 * * *",
        "\u0661 * * * *", "1e1 * * * *", "99999999999 * * * *", "@daily",
    ],
)  # fmt: skip
def test_anything_else_is_not(text):
    assert not is_cron(text)


def test_fields_expand_to_their_values():
    minutes, hours, days, months, weekdays = expand_cron("10-12,*/30 20/2 1 jan,mar SUN-2")
    assert minutes == {0, 10, 11, 12, 30}
    assert hours == {20, 22}
    assert (days, months, weekdays) == ({1}, {1, 3}, {0, 1, 2})


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("* * * * *", 1),
        ("*/5 * * * *", 5),
        ("0 * * * *", 60),
        ("0,58 * * * *", 2),
        ("1-2 0 * * *", 1),
        ("not cron", 60),
    ],
)
def test_the_shortest_gap_is_that_between_two_starts(text, minutes):
    assert shortest_gap_minutes(text) == minutes


@given(st.text(alphabet="0159*/,-aJN ", max_size=30))
def test_any_text_is_cron_or_not(text):
    assert is_cron(text) is (expand_cron(text) is not None)


_ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "Asia/Kathmandu")
_MINUTES = st.sampled_from(["*", "*/7", "0", "30", "15,45", "5-20/5"])
_HOURS = st.sampled_from(["*", "*/3", "0", "1", "2", "3", "1-3", "2,14", "23"])
_DAYS = st.sampled_from(["*", "1", "29-31", "*/10", "26"])
_MONTHS = st.sampled_from(["*", "mar", "2", "10,11", "4-6"])
_WEEKDAYS = st.sampled_from(["*", "sun", "1-5", "*/2", "6"])
_MOMENTS = st.one_of(
    st.integers(1_700_000_000, 1_900_000_000),
    # Around changes of the clocks: Berlin, New York, Lord Howe, Beirut.
    st.sampled_from(
        [1_774_746_000, 1_792_890_000, 1_772_953_200, 1_793_512_800, 1_775_314_800, 1_774_738_800]
    ).flatmap(lambda moment: st.integers(moment - 100_000, moment + 100_000)),
)


# cronsim leaves out half an hour where clocks go back by half an hour, and has an hour that nobody asked for where they skip midnight
# (`* */3 29 mar *` in Beirut at 01:00); the tests below say what comes then.
_WHOLE_HOURS = [name for name in _ZONES if name not in ("Australia/Lord_Howe", "Asia/Beirut")]


def test_where_clocks_skip_midnight_the_hours_of_that_day_are_those_that_it_has() -> None:
    zone = ZoneInfo("Asia/Beirut")
    before = datetime(2026, 3, 28, 22, 0, tzinfo=zone).timestamp()
    found = next_time("* */3 29-31 mar *", zone, before)
    assert found is not None
    assert datetime.fromtimestamp(found, zone) == datetime(2026, 3, 29, 3, 0, tzinfo=zone)


def test_where_clocks_go_back_by_half_an_hour_no_minute_is_left_out() -> None:
    """On 7 April 2024 it is 02:00 there once: half an hour after it would have been, for then it is 01:30 again."""
    zone = ZoneInfo("Australia/Lord_Howe")
    before = datetime(2024, 4, 7, 0, 0, tzinfo=zone).timestamp()
    found = next_time("* 2 * 4 sun", zone, before)
    assert found is not None
    assert datetime.fromtimestamp(found, UTC) == datetime(2024, 4, 6, 15, 30, tzinfo=UTC)


@given(st.tuples(_MINUTES, _HOURS, _DAYS, _MONTHS, _WEEKDAYS), st.sampled_from(_WHOLE_HOURS), _MOMENTS)
def test_cron_comes_when_cronsim_says(fields: tuple[str, ...], name: str, after: int) -> None:
    text, zone = " ".join(fields), ZoneInfo(name)
    local = datetime.fromtimestamp(after, UTC).astimezone(zone)
    found = next(CronSim(text, local), None)
    assert next_time(text, zone, after) == (None if found is None else found.timestamp())


@given(st.tuples(_MINUTES, _HOURS, _DAYS, _MONTHS, _WEEKDAYS), st.sampled_from(_ZONES), _MOMENTS)
def test_the_last_time_is_the_one_that_no_other_follows(
    fields: tuple[str, ...], name: str, until: int
) -> None:
    text, zone = " ".join(fields), ZoneInfo(name)
    after = until - 500_000
    last = last_time(text, zone, after, until)
    following = next_time(text, zone, after if last is None else last)
    assert following is None or following > until
    assert last is None or after < last <= until


def test_a_day_that_never_comes_has_no_time() -> None:
    assert next_time("0 0 30 2 *", UTC, 0) is None
    assert next_time("none", UTC, 0) is None
    assert next_time("0 12 29 2 *", UTC, datetime(2096, 3, 1, tzinfo=UTC).timestamp()) == (
        datetime(2104, 2, 29, 12, tzinfo=UTC).timestamp()
    )
