"""A DataTorch flow that asks who starts it, and a person in the middle, through a real server: roles, forms, answers with their kinds, results."""

import json
from pathlib import Path

import httpx
import pytest
from support.git import make_repository
from support.lab import Lab, wait_for

LOOK = """
name: Look at the pictures
outputs:
  good: {type: number, description: how many are good}
  level: {options: [low, high]}
runs: {using: human}
"""
ADD = """
name: Add
cache: true
inputs: {a: {type: integer, required: true}, b: {type: integer, required: true}}
outputs: {sum: {type: number}}
runs: {using: cmd, command: 'echo run >> COUNT; echo "::sum::$((INPUT_A + INPUT_B))"'}
"""
FLOW = """
name: Label
triggers:
  manual:
    role: MAINTAINER
    form:
      type: object
      properties: {epochs: {type: integer, minimum: 1}, boxes: {type: array, default: [1]}}
      required: [epochs]
jobs:
  label:
    steps:
      - {name: look, action: acme/look@v1}
      - {name: add, action: acme/add@v1, inputs: {a: "${{ input.epochs }}", b: "${{ steps.look.output.good }}"}}
"""


@pytest.fixture
def stored(lab: Lab) -> Lab:
    """A server that has the flow, and an agent that finds its actions."""
    lab.environment["AGENT_ACTIONS_URL"] = f"file://{lab.folder}/git/{{owner}}/{{repo}}"
    for name, text in (("look", LOOK), ("add", ADD.replace("COUNT", str(lab.folder / "count")))):
        make_repository(lab.folder / "git" / "acme" / name, {"action-datatorch.yaml": text})
    lab.add_agent("box")
    file = lab.folder / "label.yml"
    file.write_text(FLOW)
    done = lab.agent("flow", "store", file, "--dialect", "datatorch")
    assert done.code == 0, done.err
    return lab


def start(lab: Lab, *inputs: str) -> int:
    words = [word for text in inputs for word in ("--input", text)]
    return int(lab.get("flow", "start", "label", *words)["run"])


def answer(lab: Lab, run: int, **values: object) -> None:
    file = lab.folder / "answer.json"
    file.write_text(json.dumps(values))
    with httpx.Client(
        base_url=f"{lab.url}/api/v1", headers={"Authorization": f"Bearer {lab.admin_token}"}
    ) as api:
        wait_for(lambda: api.get(f"/runs/{run}/forms").json()["forms"], "the form")
    done = lab.agent("run", "answer", str(run), "--file", file)
    assert done.code == 0, done.err
    assert lab.wait_for_run(run)["conclusion"] == "success", lab.lines(run, "label")


def count(file: Path) -> int:
    return len(file.read_text().splitlines())


def test_what_was_asked_reaches_the_steps_with_its_kind_and_an_equal_step_is_found(stored: Lab) -> None:
    first = start(stored, "epochs=3")
    answer(stored, first, good=4, level="high")
    assert count(stored.folder / "count") == 1
    second = start(stored, "epochs=3", "boxes=[1, 2]")
    answer(stored, second, good=4, level="low")
    assert count(stored.folder / "count") == 1
    found = f"Found: outputs of run {first}, step add; the action does not run"
    assert found in stored.lines(second, "label")


def test_a_form_that_is_filled_in_wrongly_and_a_role_that_is_too_small_start_nothing(stored: Lab) -> None:
    wrong = stored.agent("flow", "start", "label", "--input", "epochs=0")
    assert (wrong.code, "epochs: 0 is less than the minimum of 1" in wrong.err) == (2, True), wrong.err
    for words in (("create", "rune", "--service"), ("set-role", "rune", "runner")):
        done = stored.agent("server", "user", *words, "--data", stored.data)
        assert done.code == 0, done.err
    made = stored.agent("server", "user", "token", "rune", "--data", stored.data)
    token = made.out.strip().splitlines()[-1]
    refused = stored.agent(
        "flow", "start", "label", "--input", "epochs=3", environment={"AGENT_TOKEN": token}
    )
    assert "is started by who has the role maintainer in project 'default'; you are runner" in refused.err
    submitted = stored.agent(
        *("flow", "submit", stored.folder / "label.yml", "--dialect", "datatorch", "--source", "none"),
        *("--input", "epochs=3"),
        environment={"AGENT_TOKEN": token},
    )
    assert "you are runner" in submitted.err
    assert stored.get("run", "list") == []
