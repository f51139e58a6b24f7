"""Schedules: the next time, the last one, time zones, daylight saving, and what was missed."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import UsageError
from agent.server.triggers.timetable import find_missed, last_time, next_time


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("cron", "zone", "now", "due"),
    [
        ("*/15 * * * *", "UTC", "2026-01-01 00:00", "2026-01-01 00:15"),
        ("0 9 * * MON-FRI", "UTC", "2026-01-02 10:00", "2026-01-05 09:00"),
        ("0 9 * * *", "Europe/Berlin", "2026-01-01 00:00", "2026-01-01 08:00"),
        ("0 9 * * *", "Europe/Berlin", "2026-07-01 00:00", "2026-07-01 07:00"),
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28 12:00",
            "2026-03-29 01:00",
        ),  # 02:30 is not there: at once
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24 12:00",
            "2026-10-25 00:30",
        ),  # 02:30 is there twice: the first
        ("30 2 * * *", "Europe/Berlin", "2026-10-25 00:30", "2026-10-26 01:30"),  # ... and not the second
        ("0 0 1 * MON", "UTC", "2026-01-02 00:00", "2026-01-05 00:00"),  # either day counts
        ("0 0 29 2 *", "UTC", "2026-01-01 00:00", "2028-02-29 00:00"),
        ("30 5 * * *", "Asia/Kolkata", "2026-01-01 00:01", "2026-01-02 00:00"),
    ],
)
def test_the_next_time_is_crons_in_its_time_zone(cron: str, zone: str, now: str, due: str) -> None:
    assert next_time(cron, zone, at(now)) == at(due)


@pytest.mark.parametrize(
    ("cron", "zone"),
    [
        ("0 0 30 2 *", "UTC"),
        ("x", "UTC"),
        ("* * * *", "UTC"),
        ("0 0 * * *", "Mars/Olympus"),
        ("0 0 * * *", "/etc"),
    ],
)
def test_what_is_no_schedule_is_refused(cron: str, zone: str) -> None:
    with pytest.raises(UsageError):
        next_time(cron, zone, 0.0)


def test_of_many_missed_times_the_last_one_counts_while_it_is_fresh() -> None:
    due, now = at("2026-01-01 00:00"), at("2026-01-03 12:10")
    assert find_missed("0 * * * *", "UTC", due, now, 3600) == at("2026-01-03 12:00")
    assert find_missed("0 0 * * *", "UTC", due, now, 3600) is None
    assert find_missed("0 0 * * *", "UTC", due, at("2026-01-01 00:00"), 3600) == due


@given(
    st.sampled_from(["*/5 * * * *", "0 */3 * * *", "15 4 1 * *", "0 9 * * 1-5"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    st.integers(1_600_000_000, 2_000_000_000),
)
def test_now_lies_between_the_last_time_and_the_next(cron: str, zone: str, now: int) -> None:
    last, following = last_time(cron, zone, now), next_time(cron, zone, now)
    assert last <= now < following
    assert next_time(cron, zone, last) == following
