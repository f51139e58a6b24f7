"""Forms of steps that wait for people, on pages: shown by kind, answered in a real browser, by who may, once."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from server.vocabulary import ServerProcess, TestAgent, journal, wait_for

from agent.journal.format import FormAsked, StepChanged
from agent.wire import messages as m

Agents = Callable[..., TestAgent]
pytestmark = pytest.mark.store("sqlite")
PASSWORD = "correct horse battery"
HOSTILE = "<script>window.hacked=1</script>"
FORM = {
    "type": "object",
    "description": "Of the last hundred pictures.",
    "properties": {
        "good": {
            "type": "integer",
            "minimum": 0,
            "maximum": 100,
            "title": "Good ones",
            "description": HOSTILE,
        },
        "share": {"type": "number"},
        "grade": {"enum": ["a", "b", 3], "default": "b"},
        "blurred": {"type": "boolean"},
        "note": {"type": "string", "maxLength": 1000},
        "by": {"type": "string", "default": "me"},
        "boxes": {"type": "array"},
    },
    "required": ["good", "blurred"],
}


@pytest.fixture(scope="module")
def people(server: ServerProcess) -> ServerProcess:
    """A server with somebody who may run things, and somebody who may look."""
    server.add_user("grace", role="runner", password=PASSWORD)
    server.add_user("vera", role="viewer", password=PASSWORD)
    return server


def ask(server: ServerProcess, make_agent: Agents, form: object = FORM) -> tuple[TestAgent, m.Assign, int]:
    name = f"asks-{len(server.api.get('/agents').json()['agents'])}"
    agent = make_agent(server, name=name, token=server.registration()).connect()
    run = server.submit()
    assign = agent.take()
    begun = StepChanged(1, "look", "Look", "running", 1000)
    agent.ship(assign, journal(assign, begun, FormAsked(1, 1000, f"Look {HOSTILE}", form), closes=False))
    wait_for(lambda: server.api.get(f"/runs/{run}/forms").json()["forms"], "the form")
    return agent, assign, run


def sign_in(chromium: Any, server: ServerProcess, user: str) -> Any:
    page = chromium.new_context(base_url=server.url).new_page()
    page.goto("/login")
    page.fill("[name=user]", user)
    page.fill("[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url("**/status")
    return page


def heard(agent: TestAgent) -> m.StepAnswer:
    while (ack := agent.hear(m.Ack)).answer is None:
        pass
    return ack.answer


def test_a_person_answers_in_the_browser_field_by_field(
    people: ServerProcess, make_agent: Agents, chromium: Any, tmp_path: Path
) -> None:
    agent, assign, run = ask(people, make_agent)
    page = sign_in(chromium, people, "grace")
    page.goto(f"/status/runs/{run}")
    fields = {name: page.locator(f'[name="field.{name}"]') for name in FORM["properties"]}
    kinds = {name: field.evaluate("one => one.type") for name, field in fields.items()}
    assert kinds == {
        "good": "number", "share": "number", "grade": "select-one", "blurred": "select-one",
        "note": "textarea", "by": "text", "boxes": "textarea",
    }  # fmt: skip
    assert fields["grade"].input_value() == "b"
    assert fields["by"].input_value() == "me"
    fields["good"].fill("7")
    fields["share"].fill("0.5")
    fields["grade"].select_option("3")
    fields["blurred"].select_option("false")
    fields["note"].fill("two\nlines")
    fields["boxes"].fill("[[1, 2]]")
    page.screenshot(path=Path(os.environ.get("SCREENSHOTS", tmp_path)) / "question.png", full_page=True)
    page.get_by_role("button", name="Answer").click()
    page.wait_for_url(f"**/status/jobs/{assign.job}")
    assert "answered by grace" in page.text_content("#why")
    assert page.locator("section.question").count() == 0
    values = {
        "good": 7, "share": 0.5, "grade": 3, "blurred": False, "note": "two\nlines", "by": "me", "boxes": [[1, 2]]
    }  # fmt: skip
    answer = heard(agent)
    assert (answer.by, answer.values) == ("grace", values)
    assert people.api.get(f"/runs/{run}/forms").json()["forms"] == []
    assert page.evaluate("window.hacked") is None


def test_what_is_wrong_is_said_and_what_was_typed_stays(
    people: ServerProcess, make_agent: Agents, chromium: Any
) -> None:
    _agent, assign, run = ask(people, make_agent)
    page = sign_in(chromium, people, "grace")
    page.goto(f"/status/jobs/{assign.job}")
    page.fill('[name="field.good"]', "700")
    page.select_option('[name="field.blurred"]', "true")
    page.fill('[name="field.note"]', "typed")
    page.evaluate("document.querySelector('form[action$=answer]').noValidate = true")
    page.get_by_role("button", name="Answer").click()
    assert "good: 700 is greater than the maximum of 100" in page.text_content("#mistake")
    assert page.input_value('[name="field.note"]') == "typed"
    assert page.input_value('[name="field.good"]') == "700"
    page.fill('[name="field.good"]', "70")
    assert people.api.post(
        f"/jobs/{assign.job}/answer", json={"values": {"good": 1, "blurred": True}}
    ).is_success
    page.get_by_role("button", name="Answer").click()
    assert "was answered already, by admin" in page.text_content("#mistake")
    assert people.api.get(f"/runs/{run}/forms").json()["forms"] == []
    page.goto(f"/status/jobs/{assign.job}/answer")
    assert page.url.endswith(f"/status/jobs/{assign.job}"), "who goes there again is led to the job"


def test_what_is_typed_stays_while_the_page_renews_itself(
    people: ServerProcess, make_agent: Agents, chromium: Any
) -> None:
    agent, assign, _run = ask(people, make_agent)
    page = sign_in(chromium, people, "grace")
    page.goto(f"/status/jobs/{assign.job}")
    page.fill('[name="field.note"]', "half an ans")
    with page.expect_response(lambda response: response.url.endswith(assign.job)):
        pass
    assert page.input_value('[name="field.note"]') == "half an ans"
    agent.disconnect()


def test_who_may_only_look_is_told_who_answers(
    people: ServerProcess, make_agent: Agents, chromium: Any
) -> None:
    _agent, assign, run = ask(people, make_agent)
    page = sign_in(chromium, people, "vera")
    page.goto(f"/status/jobs/{assign.job}")
    assert "role runner" in page.text_content("section.question")
    assert page.locator("form[action$=answer]").count() == 0
    csrf = page.get_attribute("form[action='/logout'] [name=csrf]", "value")
    form = {"csrf": csrf, "step": "1", "field.good": "1", "field.blurred": "true"}
    sent = page.request.post(f"/status/jobs/{assign.job}/answer", form=form, headers={"Origin": people.url})
    assert sent.status == 403
    assert people.api.get(f"/runs/{run}/forms").json()["forms"] != []


def test_a_page_of_another_site_answers_nothing(
    people: ServerProcess, make_agent: Agents, chromium: Any
) -> None:
    _agent, assign, run = ask(people, make_agent)
    page = sign_in(chromium, people, "grace")
    path, form = (
        f"/status/jobs/{assign.job}/answer",
        {"step": "1", "field.good": "1", "field.blurred": "true"},
    )
    own = {"Origin": people.url}
    csrf = page.get_attribute("form[action='/logout'] [name=csrf]", "value")
    assert page.request.post(path, form=form, headers=own).status == 403, "without the token of the session"
    foreign = {"Origin": "https://elsewhere.example"}
    assert page.request.post(path, form={**form, "csrf": csrf}, headers=foreign).status == 403
    assert people.api.get(f"/runs/{run}/forms").json()["forms"] != []
    assert page.request.post(path, form={**form, "csrf": csrf}, headers=own, max_redirects=0).status == 303


def test_a_form_without_fields_is_answered_as_json(
    people: ServerProcess, make_agent: Agents, chromium: Any
) -> None:
    agent, assign, _run = ask(people, make_agent, {"type": "object"})
    page = sign_in(chromium, people, "grace")
    page.goto(f"/status/jobs/{assign.job}")
    page.fill("[name=whole]", "7")
    page.get_by_role("button", name="Answer").click()
    assert "that is no JSON object" in page.text_content("#mistake")
    page.fill("[name=whole]", json.dumps({"any": [1, {"thing": None}]}))
    page.get_by_role("button", name="Answer").click()
    page.wait_for_url(f"**/status/jobs/{assign.job}")
    assert heard(agent).values == {"any": [1, {"thing": None}]}
    assert re.search("answered by grace", page.text_content("#why"))
