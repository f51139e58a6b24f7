"""Readable names of runs: another spelling of their numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.spec.run_names import find_number, name_run

NUMBERS = st.integers(min_value=1, max_value=2**40)


@given(NUMBERS)
def test_a_name_says_the_number_whatever_its_case(number):
    assert find_number(name_run(number)) == number
    assert find_number(f" {name_run(number).upper()} ") == number


@given(NUMBERS, NUMBERS)
def test_no_two_runs_have_one_name(one, other):
    assert (name_run(one) == name_run(other)) == (one == other)


def test_the_first_runs_have_names_that_look_different():
    assert name_run(1) == "wet-mangust-1"
    names = [name_run(number).split("-") for number in range(1, 65)]
    assert len({animal for _, animal, _ in names}) == 64
    assert {count for _, _, count in names} == {"1"}


@pytest.mark.parametrize(
    "text", ["", "7", "wet-mangust", "wet-mangust-0", "wet-nobody-1", "no-mangust-1", "wet-mangust-01"]
)
def test_what_is_no_name_is_none(text):
    assert find_number(text) is None
