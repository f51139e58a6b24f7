"""A step that waits for a person, through a real server and a real agent, with `kill -9` of everything in between."""

from typing import Any

import httpx
import pytest
from support.at_terminal import at_terminal
from support.lab import Lab, wait_for

FLOW = """
  review:
    runs-on: self-hosted
    outputs:
      good: ${{ steps.look.outputs.good }}
    steps:
      - run: |
          mkdir look; echo kept > kept
          cat > look/action.yml <<'END'
          name: Look at the pictures
          runs:
            using: human
            form:
              type: object
              properties:
                good: {type: integer, minimum: 0, description: how many are good}
                note: {type: string, default: none}
              required: [good]
          END
      - {id: look, uses: ./look}
      - run: echo "good ${{ steps.look.outputs.good }}, note ${{ steps.look.outputs.note }}, $(cat kept)"
"""
SAID = "good 7, note none, kept"


@pytest.fixture
def run(lab: Lab) -> int:
    """A run whose job waits for an answer."""
    lab.add_agent("box")
    run = lab.submit(lab.write_flow(FLOW))
    wait_for_form(lab, run)
    return run


def api(lab: Lab, token: str = "") -> httpx.Client:
    headers = {"Authorization": f"Bearer {token or lab.admin_token}"}
    return httpx.Client(base_url=f"{lab.url}/api/v1", headers=headers, timeout=60)


def wait_for_form(lab: Lab, run: int) -> dict[str, Any]:
    with api(lab) as client:
        (form,) = wait_for(lambda: client.get(f"/runs/{run}/forms").json()["forms"], "the form")
    return dict(form)


def check_success(lab: Lab, run: int) -> None:
    view = lab.wait_for_run(run)
    assert view["conclusion"] == "success", view
    assert view["jobs"][0]["outputs"] == {"good": "7"}
    assert [line for line in lab.lines(run, "review") if line.startswith("good ")] == [SAID]


def test_the_form_is_shown_and_the_answer_is_the_steps_outputs(lab: Lab, run: int) -> None:
    form = wait_for_form(lab, run)
    assert (form["title"], form["key"], form["run"]) == ("Look at the pictures", "review", run)
    assert form["form"]["required"] == ["good"]
    (job,) = lab.run(run)["jobs"]
    assert job["waiting"] == f"waits for a person: Look at the pictures; agent run answer {run} review"
    assert [row["held"] for row in lab.get("run", "list")] == [["review"]]
    with api(lab) as client:
        assert client.get("/forms").json()["forms"] == [form]
        wrong = client.post(f"/jobs/{form['job']}/answer", json={"values": {"good": -1}})
        assert (wrong.status_code, "good: -1 is less than" in wrong.json()["detail"]) == (422, True)
    done = lab.agent("run", "answer", str(run), "--set", "good=7")
    assert (done.code, done.out) == (0, "Look at the pictures is answered; review goes on\n")
    check_success(lab, run)
    assert "Answered by admin" in lab.lines(run, "review")
    assert wait_for(lambda: lab.run(run)["jobs"][0]["waiting"] == "", "the job to wait for nobody")
    with api(lab) as client:
        entries = client.get("/audit", params={"limit": 5}).json()["entries"]
        (entry,) = [
            one
            for one in entries
            if one["action"] == "POST /api/v1/jobs/{job}/answer" and one["outcome"] == "done"
        ]
        assert (entry["actor"], entry["detail"]["title"]) == ("admin", "Look at the pictures")
        late = client.post(f"/jobs/{form['job']}/answer", json={"values": {"good": 1}})
        assert (late.status_code, "was answered already, by admin" in late.json()["detail"]) == (409, True)


def test_a_form_is_answered_once_and_by_who_may(lab: Lab, run: int) -> None:
    form = wait_for_form(lab, run)
    path = f"/jobs/{form['job']}/answer"
    lab.kill("box")  # the answer is on its way for as long as the agent is away
    made = lab.agent("server", "user", "create", "vera", "--service", "--data", lab.data)
    assert made.code == 0, made.err
    role = lab.agent("server", "user", "set-role", "vera", "viewer", "--data", lab.data)
    assert role.code == 0, role.err
    token = lab.agent("server", "user", "token", "vera", "--data", lab.data).out.strip().splitlines()[-1]
    with api(lab, token) as viewer:
        refused = viewer.post(path, json={"values": {"good": 1}})
        assert (refused.status_code, "role runner" in refused.json()["detail"]) == (403, True)
        assert viewer.get("/forms").json()["forms"] == [form]
    with api(lab) as client:
        assert client.post(path, json={"values": {"good": 7}}).status_code == 200
        again = client.post(path, json={"values": {"good": 8}})
        assert again.status_code == 409
        assert "'Look at the pictures' was answered already, by admin" in again.json()["detail"]
        assert client.get("/forms").json()["forms"] == []
    lab.start_agent("box")
    check_success(lab, run)


def test_the_wait_outlives_agent_and_server_and_the_answer_comes_once(lab: Lab, run: int) -> None:
    lab.kill("box")
    lab.kill("server")
    lab.start_server()
    assert wait_for_form(lab, run)["key"] == "review"
    done = lab.agent("run", "answer", str(run), "review", "--set", "good=7")
    assert done.code == 0, done.err
    lab.kill("server")  # it is stored, and nobody has heard of it
    lab.start_server()
    lab.start_agent("box")
    check_success(lab, run)
    assert [line for line in lab.lines(run, "review") if "Answered" in line] == ["Answered by admin"]


def test_a_person_at_a_terminal_is_asked_field_by_field(lab: Lab, run: int) -> None:
    with at_terminal(lab.environment, "run", "answer", str(run)) as terminal:
        terminal.read_until("good - how many are good (integer): ")
        terminal.type("many\n")
        terminal.read_until('is not of type "integer"')
        terminal.type("7\n")
        terminal.read_until("note (string, Enter: none): ")
        terminal.type("\n")
        assert terminal.finish() == 0
    check_success(lab, run)


def test_without_a_terminal_it_is_said_how_to_answer(lab: Lab, run: int) -> None:
    done = lab.agent("run", "answer", str(run))
    assert (done.code, "--set good=... --set note=... answers it" in done.err) == (2, True)
    file = lab.folder / "answer.json"
    file.write_text('{"good": 7}')
    assert lab.agent("run", "answer", str(run), "--file", file).code == 0
    check_success(lab, run)
    late = lab.agent("run", "answer", str(run), "--set", "good=1")
    assert (late.code, "was answered already, by admin" in late.err) == (1, True)


def test_a_cancel_ends_the_waiting(lab: Lab, run: int) -> None:
    assert lab.agent("run", "cancel", str(run)).code == 0
    assert lab.wait_for_run(run)["conclusion"] == "cancelled"
    with api(lab) as client:
        assert client.get("/forms").json()["forms"] == []
