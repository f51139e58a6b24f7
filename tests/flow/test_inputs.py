"""Inputs: typed values out of forms, command lines and defaults."""

import pytest

from agent.flow.inputs import resolve_inputs
from agent.flow.model import Input, Position, Trigger

HERE = Position("f.yml", 2, 3)


def resolve(given, *declared):
    values, problems = resolve_inputs(Trigger("workflow_dispatch", HERE, inputs=declared), given)
    return values, [problem.message for problem in problems]


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("string", "x", "x"), ("string", "", ""), ("string", 5, "5"), ("string", True, "true"), ("boolean", "true", True),
        ("boolean", " FALSE ", False), ("boolean", True, True), ("number", "5", 5), ("number", "1.5", 1.5), ("number", 2.0, 2),
        ("number", "0x10", 16), ("environment", "prod", "prod"),
    ],
)  # fmt: skip
def test_a_given_value_takes_its_declared_type(kind, given, value):
    values, problems = resolve({"A": given}, Input("a", kind))
    assert problems == []
    assert values == {"a": value}
    assert type(values["a"]) is type(value)


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("boolean", "yes", "Input a must be true or false, not 'yes'."),
        ("number", "many", "Input a must be a number, not 'many'."),
        ("number", True, "Input a must be a number, not 'true'."),
        ("number", " ", "Input a must be a number, not ' '."),
        ("choice", "z", "Input a must be one of x, y, not 'z'."),
    ],
)
def test_a_value_that_does_not_fit_is_a_problem(kind, given, words):
    assert resolve({"a": given}, Input("a", kind, options=("x", "y")))[1] == [words]


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (Input("a", "string"), ""), (Input("a", "boolean"), False), (Input("a", "number"), 0),
        (Input("a", "choice", options=("x", "y")), "x"), (Input("a", "choice", default="y", options=("x", "y")), "y"),
        (Input("a", "number", default="7"), 7), (Input("a", "string", default="${{ vars.x }}"), "${{ vars.x }}"),
        (Input("a", "boolean", required=True, default=True), True), (Input("a", "string", default=[]), ""),
        (Input("a", "number", default=""), 0),
    ],
)  # fmt: skip
def test_without_a_value_there_is_the_default_or_nothing_of_that_type(declared, value):
    assert resolve({}, declared) == ({"a": value}, [])


def test_an_empty_answer_is_no_answer_but_for_text():
    assert resolve({"a": ""}, Input("a", "number", default=3)) == ({"a": 3}, [])


def test_what_is_required_must_be_given():
    assert resolve({}, Input("a", "number", required=True)) == (
        {"a": 0},
        ["Input a is required, but not provided."],
    )


def test_what_is_not_declared_is_refused():
    assert resolve({"b": "1"}, Input("a", "string"))[1] == ["Invalid input, b is not defined in the flow."]
    assert resolve({"b": "1"})[1] == ["Invalid input, b is not defined in the flow."]


TEXT, DATA = Input("echo", "string"), Input("data", "dataset", required=True)


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ({"echo": "hi", "data": "images"}, ("hi", "images")),
        ({"echo": {"value": "hi"}, "data": {"id": "images:3"}}, ("hi", "images:3")),
        ({"inputs": {"echo": {"value": 5}, "data": {"ref": "images:best"}}}, ("5", "images:best")),
        ({"inputs": {"data": "images"}}, ("", "images")),
        ({"echo": {"value": ""}, "data": {"id": "images"}}, ("", "images")),
    ],
)
def test_a_value_may_say_what_it_is_and_all_of_them_may_be_wrapped(given, values):
    assert resolve(given, TEXT, DATA) == (dict(zip(("echo", "data"), values, strict=True)), [])


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "Input data is required, but not provided."),
        ({"data": ""}, "Input data is required, but not provided."),
        ({"data": {"value": "images"}}, "Input data is a dataset: give its 'id', not value."),
        ({"data": "d", "echo": {"id": "x"}}, "Input echo is a string: give its 'value', not id."),
        ({"data": "d", "echo": {}}, "Input echo is a string: give its 'value', not nothing."),
        ({"data": "d", "echo": {"value": ["x"]}}, "Input echo: its 'value' must be one value."),
        ({"data": "d", "echo": ["x"]}, "Input echo must be one value, not a list."),
        ({"data": "No Name"}, "Input data must name a dataset, such as images or images:3, not 'No Name'."),
        ({"data": "d", "more": {"value": 1}}, "Invalid input, more is not defined in the flow."),
        ({"inputs": {"value": "d"}, "data": "d"}, "Invalid input, inputs is not defined in the flow."),
    ],
)
def test_a_value_of_the_wrong_kind_is_told_with_its_name(given, complaint):
    assert resolve(given, TEXT, DATA)[1] == [complaint]


def test_an_input_called_inputs_is_no_wrapping():
    assert resolve({"inputs": {"value": "x"}}, Input("inputs", "string")) == ({"inputs": "x"}, [])


def test_a_missing_input_is_missed_where_it_is_declared():
    place = Position("f.yml", 9, 3)
    _, (problem,) = resolve_inputs(
        Trigger("manual", HERE, inputs=(Input("a", "string", required=True, position=place),)), {}
    )
    assert problem.position == place
