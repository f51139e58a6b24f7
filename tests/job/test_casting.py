"""Inputs cast to their declared types: what can't be held is refused, and nothing is cut or guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AgentError
from agent.job.steps.casting import cast_input
from agent.resolve.manifests.model import ActionInput


def cast(kind: str, value: object, *options: object) -> object:
    return cast_input(ActionInput("n", type=kind, options=options), value, "f.yml:1:1")


@pytest.mark.parametrize(
    ("kind", "value", "held"),
    [
        ("", {"a": 1}, {"a": 1}), ("", "1", "1"),
        ("string", 5, "5"), ("string", [1, "a"], '[1, "a"]'), ("string", True, "true"), ("string", "", ""),
        ("integer", "7", 7), ("integer", " -7 ", -7), ("integer", 7.0, 7), ("integer", "7.0", 7),
        ("integer", str(2**70), 2**70), ("integer", 2**70, 2**70),
        ("float", "1.5", 1.5), ("float", 1, 1.0), ("float", "1e3", 1000.0),
        ("boolean", "false", False), ("boolean", "False", False), ("boolean", "0", False), ("boolean", 0, False),
        ("boolean", "true", True), ("boolean", "yes", True), ("boolean", 1, True), ("boolean", True, True),
        ("array", "[1, 2]", [1, 2]), ("array", [1], [1]), ("array", (1,), [1]),
    ],
)  # fmt: skip
def test_a_value_is_held_as(kind, value, held):
    found = cast(kind, value)
    assert (found, type(found)) == (held, type(held))


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("integer", "x", "is an integer, not 'x'"), ("integer", 1.5, "is an integer, not '1.5'"), ("integer", True, "not 'true'"),
        ("integer", [1], "not '[1]'"), ("float", "x", "is a number, not 'x'"), ("float", "nan", "a number"),
        ("float", True, "a number"), ("float", {}, "a number"), ("boolean", "maybe", "is true or false, not 'maybe'"),
        ("boolean", "", "true or false"), ("boolean", 2, "true or false"), ("array", "x", "is a list, not 'x'"),
        ("array", "{}", "a list"), ("array", 5, "a list"), ("integer", "x" * 500, "…'"),
    ],
)  # fmt: skip
def test_what_it_cannot_hold_is_refused_with_the_place(kind, value, said):
    with pytest.raises(AgentError, match="input 'n'") as caught:
        cast(kind, value)
    assert said in caught.value.what
    assert caught.value.where == "f.yml:1:1"


def test_options_are_of_the_type_too():
    assert cast("integer", "2", "1", 2) == 2
    with pytest.raises(AgentError, match="one of 1, 2, not '3'"):
        cast("integer", "3", 1, 2)


@given(st.integers(-(2**60), 2**60))
def test_an_integer_survives_being_text(number):
    assert cast("integer", str(number)) == number


@given(st.lists(st.integers() | st.text(max_size=3) | st.none(), max_size=4))
def test_a_list_survives_being_text(items):
    assert cast("array", cast("string", items)) == items
