"""Cron: GitHub's reading of five fields."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.flow.cron import expand_cron, is_cron, shortest_gap_minutes


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
