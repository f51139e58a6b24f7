"""Secrets that are given to one run: sealed to its jobs, in no list, nobody else's, and gone with the run."""

import base64
import os
from collections.abc import Callable
from typing import Any

import pytest
from server.vocabulary import ServerProcess, TestAgent, journal

from agent.seal.envelope import MasterKey

Servers = Callable[..., ServerProcess]
Agents = Callable[..., TestAgent]
DAY = 86_400.0
FLOW = """\
on: workflow_dispatch
jobs:
  train:
    runs-on: linux
    environment: prod
    steps:
      - run: echo ${{ secrets.X }}
"""
NAMES_NONE = "on: workflow_dispatch\njobs: {train: {runs-on: linux, steps: [{run: echo hello}]}}\n"
INHERITS = "on: workflow_dispatch\njobs: {call: {uses: ./inner.yml, secrets: inherit}}\n"
INNER = "on: workflow_call\njobs: {work: {runs-on: linux, steps: [{run: 'echo ${{ secrets.X }}'}]}}\n"


def put_secret(server: ServerProcess, path: str, value: str, **more: Any) -> None:
    answer = server.api.put(path, json={"value": value, **more})
    assert answer.status_code == 200, answer.text


def stored(server: ServerProcess) -> list[tuple[int, str]]:
    return [(run, name) for run, name in server.sql("SELECT run, name FROM run_secrets ORDER BY run, name")]


def test_a_runs_own_secret_wins_and_leaves_the_projects_as_it_was(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server()
    put_secret(server, "/organisation/secrets/X", "the organisation's")
    put_secret(server, "/secrets/X", "the project's", refs=["main"])
    put_secret(server, "/secrets/X?environment=prod", "the environment's")
    before = server.api.get("/secrets").json()
    rows = server.sql("SELECT * FROM secrets ORDER BY project, environment")
    run = server.submit(FLOW, secrets={"x": "the run's"})
    assert server.api.get("/secrets").json() == before
    assert server.sql("SELECT * FROM secrets ORDER BY project, environment") == rows
    agent = make_agent(server).connect()
    own = agent.take()
    assert agent.open(own, "X") == "the run's"
    agent.finish(own, journal(own))
    server.submit(FLOW)
    other = agent.take()
    assert agent.open(other, "X") == "the environment's"
    agent.finish(other, journal(other))
    for path in (f"/runs/{run}", "/runs", f"/runs/{run}/events", f"/jobs/{own.job}", "/audit", "/secrets"):
        assert "the run's" not in server.api.get(path).text
    details = [row["detail"] for row in server.api.get("/audit").json()["entries"]]
    assert [detail["secrets"] for detail in details if "secrets" in detail] == [["X"]]


def test_a_run_that_is_refused_leaves_nothing(server: ServerProcess) -> None:
    before = stored(server), server.api.get("/secrets").json(), server.sql("SELECT count(*) FROM runs")
    broken = NAMES_NONE.replace("echo hello", "echo ${{ secrets.NOBODY_HAS_IT }}")
    for text in ("no flow", broken):
        body = {"flow": {"file": "flow.yml", "text": text}, "secrets": {"X": "hunter2"}}
        refused = server.api.post("/runs", json=body)
        assert refused.status_code == 422
        assert "hunter2" not in refused.text
    assert (
        stored(server),
        server.api.get("/secrets").json(),
        server.sql("SELECT count(*) FROM runs"),
    ) == before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"1x": "v"}, "no name for a secret"),
        ({"GITHUB_TOKEN": "v"}, "may not begin with GITHUB_"),
        ({"X": ""}, "at least one byte"),
        ({"X": "x" * ((48 << 10) + 1)}, "49152 bytes"),
        ({"x": "v", "X": "v"}, "given twice"),
        ({f"S{number}": "v" for number in range(101)}, "at most 100 secrets"),
        ({f"S{number}": "v" * (48 << 10) for number in range(22)}, "1024 KiB together"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_secret_can_be_is_refused(server: ServerProcess, given: dict[str, str], said: str) -> None:
    body = {"flow": {"file": "flow.yml", "text": NAMES_NONE}, "secrets": given}
    refused = server.api.post("/runs", json=body)
    assert refused.status_code == 422
    assert said in refused.json()["detail"]


def test_a_job_that_names_none_is_handed_them_for_its_masks_and_sees_none(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server()
    put_secret(server, "/secrets/OTHER", "not asked for")
    server.submit(NAMES_NONE, secrets={"X": "hunter2"})
    agent = make_agent(server).connect()
    assign = agent.take()
    assert agent.open(assign, "X") == "hunter2"
    assert "X" not in assign.spec.secrets
    assert "OTHER" not in assign.sealed
    agent.finish(assign, journal(assign))


def test_a_called_flow_that_inherits_has_it(make_server: Servers, make_agent: Agents) -> None:
    server = make_server()
    flow = {"file": "flow.yml", "text": INHERITS, "called": {"./inner.yml": INNER}}
    answer = server.api.post("/runs", json={"flow": flow, "secrets": {"X": "hunter2"}})
    assert answer.status_code == 201, answer.text
    agent = make_agent(server).connect()
    assign = agent.take()
    assert assign.spec.secrets == ("X",)
    assert agent.open(assign, "X") == "hunter2"
    agent.finish(assign, journal(assign))


def test_it_is_there_for_a_rerun_and_goes_with_the_run(make_server: Servers, make_agent: Agents) -> None:
    server = make_server()
    kept, old = server.submit(FLOW, secrets={"X": "kept"}), server.submit(FLOW, secrets={"X": "old"})
    agent = make_agent(server).connect()
    for _ in range(2):
        assign = agent.take()
        agent.finish(assign, journal(assign))
    assert server.api.post(f"/runs/{kept}/rerun", json={}).status_code == 201
    again = agent.take()
    assert agent.open(again, "X") == "kept"
    agent.finish(again, journal(again))
    assert stored(server) == [(kept, "X"), (old, "X")]
    server.sql("UPDATE projects SET settings = '{\"keep_runs_days\": 30}'")
    server.sql("UPDATE runs SET finished_at = finished_at - ? WHERE id = ?", 31 * DAY, old)
    server.archive_journals()
    assert "run" in {item["kind"] for item in server.api.post("/retention").json()["items"]}
    assert stored(server) == [(kept, "X")]


def test_at_rest_it_is_bound_to_its_run_and_moves_to_a_new_master_key(
    make_server: Servers, make_agent: Agents
) -> None:
    old, new = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    server = make_server(master_key=old)
    run = server.submit(FLOW, secrets={"X": "hunter2"})
    ((record,),) = server.sql("SELECT sealed FROM run_secrets")
    assert b"hunter2" not in bytes(record)
    server.stop()
    server._settings["master_key"] = f"{new} {old}"
    server.start()
    ((moved,),) = server.sql("SELECT sealed FROM run_secrets")
    assert MasterKey.from_text(new).key_id in bytes(moved)[:9]
    agent = make_agent(server).connect()
    assign = agent.take()
    assert agent.open(assign, "X") == "hunter2"
    agent.finish(assign, journal(assign))
    agent.disconnect()
    other = server.submit(FLOW)
    server.sql("UPDATE run_secrets SET run = ? WHERE run = ?", other, run)
    agent.connect()
    assert server.wait_for_job(other, status="completed")["failure_kind"] == "infrastructure"
