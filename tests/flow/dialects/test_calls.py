"""A called flow's inputs and secrets, held against the call."""

import pytest

from agent.flow.dialects.github.calls import check_call, find_excess_permissions
from agent.flow.load import load_flow
from agent.flow.model import FlowCall, Position

HERE = Position("caller.yml", 9, 11)
CALLED = """\
on:
  workflow_call:
    inputs:
      name: {type: string, required: true}
      count: {type: number}
      dry: {type: boolean, default: false}
    secrets:
      key: {required: true}
      other:
jobs:
  a: {runs-on: x, steps: [{run: a}]}
"""


def complaints(**call):
    called = load_flow(CALLED, "called.yml").flow
    return [str(problem) for problem in check_call(FlowCall("./called.yml", **call), called, HERE)]


@pytest.mark.parametrize(
    "call",
    [
        {"with_": {"NAME": "a"}, "secrets": {"KEY": "${{ secrets.k }}"}},
        {"with_": {"name": "a", "count": 5, "dry": True}, "inherits_secrets": True},
        {"with_": {"name": 5, "count": "${{ needs.a.outputs.b }}"}, "secrets": {"key": "x", "other": "y"}},
    ],
)
def test_a_call_that_gives_what_is_asked_is_fine(call):
    assert complaints(**call) == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"with_": {}}, "Input name is required, but not provided while calling."),
        ({"with_": {"name": "a", "x": 1}}, "Invalid input, x is not defined in the referenced workflow."),
        ({"with_": {"name": "a", "count": "5"}}, "Input count must be a number, not '5'."),
        ({"with_": {"name": "a", "count": True}}, "Input count must be a number, not 'true'."),
        ({"with_": {"name": "a", "dry": "yes"}}, "Input dry must be a boolean, not 'yes'."),
    ],
)
def test_a_wrong_input_is_named(call, words):
    assert complaints(inherits_secrets=True, **call) == [f"caller.yml:9:11: {words}"]


@pytest.mark.parametrize(
    ("secrets", "words"),
    [
        ({}, "Secret key is required, but not provided while calling."),
        ({"key": "a", "z": "b"}, "Invalid secret, z is not defined in the referenced workflow."),
    ],
)
def test_a_wrong_secret_is_named(secrets, words):
    assert complaints(with_={"name": "a"}, secrets=secrets) == [f"caller.yml:9:11: {words}"]


def test_a_flow_that_cannot_be_called_is_not_called():
    called = load_flow("on: push\njobs: {a: {runs-on: x, steps: [{run: a}]}}", "c.yml").flow
    (problem,) = check_call(FlowCall("./c.yml"), called, HERE)
    assert problem.message == "workflow_call key is not defined in the referenced workflow."


def test_a_called_flow_may_not_ask_for_more_than_its_caller_has():
    allowed = {"contents": "read", "issues": "write"}
    assert find_excess_permissions(allowed, {"contents": "read", "issues": "read"}) == {}
    assert find_excess_permissions(allowed, {"contents": "write", "id-token": "write"}) == {
        "contents": ("write", "read"),
        "id-token": ("write", "none"),
    }
    assert find_excess_permissions(None, {"contents": "write"}) == {}
    assert find_excess_permissions(allowed, None) == {}
