"""A start by hand of a flow with a form: what was asked for is checked by it, and is the run's inputs and its event."""

from dataclasses import replace

import pytest

from agent.errors import UsageError
from agent.flow.load import load_flow
from agent.flow.model import Flow, Position, Trigger, TriggerKind
from agent.ids import RunId
from agent.plan import RunStart, request
from agent.plan.request import RunRequest, doubt_form, make_start

TEXT = "on: push\njobs:\n  one:\n    runs-on: linux\n    steps:\n      - run: echo\n"
FORM = {
    "type": "object",
    "properties": {"file": {"type": "integer"}, "boxes": {"type": "array"}, "label": {"default": "cat"}},
    "required": ["file"],
}


def make_flow(form: dict[str, object] | None = None) -> Flow:
    """A flow with that form, as no language that is read here has it yet."""
    read = load_flow(TEXT, "label.yml").flow
    by_hand = Trigger(
        read.dialect.by_hand, Position("label.yml", 1, 1), TriggerKind.BY_HAND, form=form or FORM
    )
    return replace(read, triggers=(*read.triggers, by_hand))


def start(asked: RunRequest, flow: Flow | None = None) -> RunStart:
    return make_start(flow or make_flow(), asked, run=RunId(1), number=1, seed=b"seed", secrets=())


def test_what_was_asked_for_is_inputs_and_event() -> None:
    begun = start(RunRequest(inputs={"file": "7", "boxes": [1, 2]}, payload={"from": "canvas"}))
    assert begun.inputs == {"file": 7, "boxes": [1, 2], "label": "cat"}
    event = begun.contexts["github"]["event"]
    assert isinstance(event, dict)
    assert {name: event[name] for name in ("from", "file", "boxes", "label")} == {
        "from": "canvas",
        "file": 7,
        "boxes": [1, 2],
        "label": "cat",
    }


def test_fields_may_come_with_the_event_that_is_told() -> None:
    assert start(RunRequest(payload={"file": 7})).inputs["file"] == 7
    assert start(RunRequest(payload={"inputs": {"file": 8}})).inputs["file"] == 8


def test_what_the_form_does_not_take_starts_nothing() -> None:
    with pytest.raises(UsageError, match=r"label\.yml:1:1") as caught:
        start(RunRequest(inputs={"file": "seven"}))
    assert "file: " in caught.value.what
    with pytest.raises(UsageError, match="file: is required"):
        start(RunRequest())


def test_the_form_is_asked_of_who_starts_it_by_hand_and_not_of_an_event() -> None:
    assert start(RunRequest(event="push", payload={"ref": "main"}, is_by_itself=True)).inputs == {}


def test_an_input_that_is_no_scalar_needs_a_form() -> None:
    text = TEXT.replace("on: push", "on:\n  workflow_dispatch:\n    inputs:\n      a: {type: string}")
    flow = load_flow(text, "label.yml").flow
    with pytest.raises(UsageError, match=r"label\.yml:.*"):
        start(RunRequest(inputs={"a": [1]}), flow)


def test_who_has_no_validator_is_told_so_where_a_form_is_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = make_flow()
    assert doubt_form(flow, "") == ""
    monkeypatch.setattr(request, "has_validator", lambda: False)
    assert "the extra [server]" in doubt_form(flow, "")
    assert doubt_form(flow, "push") == ""
