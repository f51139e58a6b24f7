"""Pins and policy through a server: the lock travels with the run, the agent's owner has the last word."""

from pathlib import Path

import pytest
from support.git import Repository, make_repository
from support.lab import Lab

ACTION = """name: greet
runs:
  using: composite
  steps: [{run: echo first, shell: bash}]
"""


@pytest.fixture
def greet(lab: Lab) -> Repository:
    lab.environment["AGENT_ACTIONS_URL"] = f"file://{lab.folder}/git/{{owner}}/{{repo}}"
    return make_repository(lab.folder / "git" / "acme" / "greet", {"action.yml": ACTION})


def write_flow(lab: Lab) -> Path:
    return lab.write_flow("  a:\n    runs-on: self-hosted\n    steps: [{uses: acme/greet@v1}]\n")


def test_a_locked_flow_runs_on_an_agent_as_it_was_locked(lab: Lab, greet: Repository) -> None:
    lab.add_agent("box")
    flow = write_flow(lab)
    state = {"AGENT_STATE": str(lab.folder / "desk")}
    assert lab.agent("action", "lock", flow, environment=state).code == 0
    greet.commit({"action.yml": ACTION.replace("first", "moved")}, tags=["v1"])
    run = lab.submit(flow)
    assert lab.wait_for_run(run)["conclusion"] == "success"
    assert "first" in lab.lines(run, "a")
    (flow.parent / "flow.lock").unlink()
    run = lab.submit(flow)
    assert lab.wait_for_run(run)["conclusion"] == "success"
    assert "moved" in lab.lines(run, "a")


def test_a_damaged_lock_stops_a_submission_before_anything_is_sent(lab: Lab, greet: Repository) -> None:
    flow = write_flow(lab)
    (flow.parent / "flow.lock").write_text("<<<<<<< HEAD\n")
    done = lab.agent("flow", "submit", flow, "--source", "none")
    assert done.code == 2
    assert "the lock file is not valid" in done.err
    assert lab.get("run", "list") == []


def test_the_owner_of_an_agent_forbids_an_action_whatever_the_server_says(
    lab: Lab, greet: Repository
) -> None:
    lab.add_agent("box")
    flow = write_flow(lab)
    policy = lab.state("box") / "policy.toml"

    def set_policy(text: str) -> None:
        """It counts from the agent's next start."""
        lab.stop("box")
        policy.write_text(text)
        lab.start_agent("box")

    set_policy('[actions]\nallow = ["actions/*"]\n')
    view = lab.wait_for_run(lab.submit(flow))
    (job,) = view["jobs"]
    assert (job["conclusion"], job["failure_kind"]) == ("failure", "action")
    assert f"(acme/greet@v1); {policy}: nothing in `allow` names it" in job["message"]
    set_policy('[actions]\nallow = ["acme/greet"]\nrequire_pins = true\n')
    view = lab.wait_for_run(lab.submit(flow))
    assert "`require_pins`" in view["jobs"][0]["message"]
    set_policy("")
    assert lab.wait_for_run(lab.submit(flow))["conclusion"] == "success"
