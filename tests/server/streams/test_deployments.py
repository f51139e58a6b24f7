"""Deployments on a real server, with agents whose jobs the test ends as it likes."""

from collections.abc import Callable
from typing import Any

import pytest
from server.vocabulary import ONE_JOB, ServerProcess, TestAgent, journal, wait_for

from agent.spec.outcome import Conclusion
from agent.wire import messages as m

Servers = Callable[..., ServerProcess]
Agents = Callable[..., TestAgent]

RELAY = """\
name: Relay
stages:
  - {name: in, action: webhook, config: {path: /orders}, out: [send]}
  - {name: send, action: webhook, config: {url: "http://127.0.0.1:9/x"}}
"""
TIMED = """\
name: Timed
stages:
  - {name: in, action: cron, config: {schedule: "0 5 * * *"}, out: [end]}
  - {name: end, action: noop}
"""


@pytest.fixture
def server(make_server: Servers) -> ServerProcess:
    return make_server()


def deploy(server: ServerProcess, text: str = RELAY, expect: int = 201, **more: Any) -> dict[str, Any]:
    body = {"flow": {"file": "relay.yaml", "text": text}, **more}
    answer = server.api.post("/deployments", json=body)
    assert answer.status_code == expect, answer.text
    return answer.json()


def show(server: ServerProcess, name: str = "Relay") -> dict[str, Any]:
    answer = server.api.get(f"/deployments/{name}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def states(server: ServerProcess, name: str = "Relay") -> list[tuple[int, str, int | None]]:
    return [(place["number"], place["state"], place["generation"]) for place in show(server, name)["places"]]


def end(agent: TestAgent, assign: m.Assign, conclusion: Conclusion = Conclusion.FAILURE) -> None:
    agent.finish(assign, journal(assign, conclusion=conclusion))


def hear_cancel(agent: TestAgent, assign: m.Assign) -> None:
    """The job is asked to end, and has drained."""
    agent.hear(m.Cancel, job=assign.job)
    end(agent, assign, Conclusion.CANCELLED)


def test_a_deployed_flow_has_a_run_that_is_followed_when_it_ends(
    server: ServerProcess, make_agent: Agents
) -> None:
    agent = make_agent(server).connect()
    done = deploy(server)
    assert done["deployment"]["paths"] == ["/orders"]
    assert done["deployment"]["generation"] == 1
    first = agent.take()
    wait_for(lambda: states(server) == [(0, "running", 1)])
    run = server.api.get(f"/runs/{first.spec.run}").json()
    assert run["deployment"] == "Relay"
    assert first.spec.timeout_minutes == 0
    end(agent, first)
    second = agent.take()
    assert second.spec.run > first.spec.run
    again = server.api.post(f"/runs/{first.spec.run}/rerun", json={})
    assert (again.status_code, "has another one by now" in again.text) == (409, True)
    (place,) = wait_for(lambda: [one for one in show(server)["places"] if one["state"] == "running"])
    assert place["run"] == second.spec.run
    assert server.http.post("/streams/default/orders", json=1).status_code == 202


def test_an_agent_that_is_lost_has_its_run_moved_after_the_lease(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server(lease_terms={"grace_seconds": 2.0, "offer_seconds": 2.0})
    one = make_agent(server).connect()
    deploy(server)
    first = one.take()
    one.disconnect()
    two = make_agent(server, name="box-2", token=server.registration()).connect()
    second = two.take()
    assert second.spec.run > first.spec.run
    assert server.api.get(f"/runs/{first.spec.run}").json()["conclusion"] == "failure"


def test_an_agent_that_drains_hands_its_runs_over(server: ServerProcess, make_agent: Agents) -> None:
    one = make_agent(server).connect()
    deploy(server)
    first = one.take()
    assert server.api.patch(f"/agents/{one.id}", json={"draining": True}).status_code == 200
    hear_cancel(one, first)
    two = make_agent(server, name="box-2", token=server.registration()).connect()
    assert two.take().spec.run > first.spec.run


def test_a_run_whose_log_is_as_long_as_one_may_be_is_followed_by_another(
    server: ServerProcess, make_agent: Agents
) -> None:
    agent = make_agent(server).connect()
    deploy(server)
    first = agent.take()
    server.sql("UPDATE jobs SET journal_applied = ? WHERE id = ?", 1 << 40, first.job)
    agent.hear(m.Cancel, job=first.job)
    reason = server.api.get(f"/runs/{first.spec.run}").json()["cancel_reason"]
    assert reason == "its log is as long as one may be: a new run goes on"


def test_a_redeployed_flow_has_its_new_run_while_the_old_one_drains(
    server: ServerProcess, make_agent: Agents
) -> None:
    agent = make_agent(server).connect(max_jobs=4)
    deploy(server)
    old = agent.take()
    done = deploy(server, RELAY.replace("/x", "/y"), expect=200)
    assert done["deployment"]["generation"] == 2
    new = agent.take()
    agent.hear(m.Cancel, job=old.job)
    assert (0, "draining", 1) in states(server)
    assert server.http.post("/streams/default/orders", json=1).status_code == 202
    end(agent, old, Conclusion.CANCELLED)
    wait_for(lambda: states(server) == [(0, "running", 2)])
    assert deploy(server, RELAY.replace("/x", "/y"), expect=200)["deployment"]["generation"] == 2
    assert server.api.get(f"/runs/{new.spec.run}").json()["status"] == "running"


def test_a_trigger_that_can_not_be_shared_waits_until_the_old_run_has_ended(
    server: ServerProcess, make_agent: Agents
) -> None:
    agent = make_agent(server).connect(max_jobs=4)
    deploy(server, TIMED)
    old = agent.take()
    deploy(server, TIMED.replace("0 5", "0 6"), expect=200)
    agent.hear(m.Cancel, job=old.job)
    assert [run["id"] for run in server.api.get("/runs").json()["runs"]] == [old.spec.run]
    end(agent, old, Conclusion.CANCELLED)
    assert agent.take().spec.run > old.spec.run
    refused = deploy(server, TIMED, expect=422, replicas=2)
    assert "no two jobs may have the trigger cron" in refused["detail"]


def test_replicas_come_and_go(server: ServerProcess, make_agent: Agents) -> None:
    agent = make_agent(server).connect(max_jobs=4)
    deploy(server, replicas=2)
    runs = {(assign := agent.take()).spec.run: assign for _ in range(2)}
    wait_for(lambda: states(server) == [(0, "running", 1), (1, "running", 1)])
    deploy(server, expect=200, replicas=1)

    def list_cancelled() -> list[int]:
        return [run for run in runs if server.api.get(f"/runs/{run}").json()["cancel_reason"]]

    (gone,) = wait_for(list_cancelled)
    hear_cancel(agent, runs[gone])
    wait_for(lambda: states(server) == [(0, "running", 1)])


def test_an_undeployed_flow_receives_nothing_more_and_goes_when_it_has_drained(
    server: ServerProcess, make_agent: Agents
) -> None:
    agent = make_agent(server).connect()
    deploy(server)
    assign = agent.take()
    assert server.http.post("/streams/default/orders", json=1).status_code == 202
    assert server.api.delete("/deployments/Relay").status_code == 204
    wait_for(lambda: server.http.post("/streams/default/orders", json=1).status_code == 404)
    assert states(server) == [(0, "draining", 1)]
    hear_cancel(agent, assign)
    wait_for(lambda: server.api.get("/deployments/Relay").status_code == 404)
    assert server.api.delete("/deployments/Relay").status_code == 404
    assert deploy(server)["deployment"]["queues"][0]["records"] >= 1


def test_a_server_that_is_killed_keeps_deployments_and_starts_nothing_twice(
    server: ServerProcess, make_agent: Agents
) -> None:
    agent = make_agent(server).connect(max_jobs=4)
    deploy(server, replicas=2)
    held = [agent.take(), agent.take()]
    server.restart_after_kill()
    agent.connect(held=tuple(m.HeldJob(one.job, one.lease, 0, is_running=True) for one in held), max_jobs=4)
    wait_for(lambda: states(server) == [(0, "running", 1), (1, "running", 1)])
    assert len(server.api.get("/runs").json()["runs"]) == 2


@pytest.mark.parametrize(
    ("text", "status", "word"),
    [
        (ONE_JOB, 422, "only a flow of stages is deployed"),
        (RELAY.replace("in, action", "in, acton"), 422, "problems"),
        (RELAY.replace("action: webhook", "action: manual", 1), 422, "only trigger is `manual`"),
        (
            RELAY.replace("path: /orders", 'path: /orders, token: "${secret.UNSET_TOKEN}"'),
            422,
            "UNSET_TOKEN is not set",
        ),
    ],
)
def test_what_can_not_be_deployed_is_refused_with_a_sentence(
    server: ServerProcess, text: str, status: int, word: str
) -> None:
    assert word in deploy(server, text, expect=status)["detail"]
    assert server.api.get("/deployments").json() == {"deployments": [], "next": None}


def test_a_path_is_one_flows_in_a_project_and_a_flow_is_deployed_once(server: ServerProcess) -> None:
    deploy(server)
    other = RELAY.replace("name: Relay", "name: Other")
    assert "receives at /orders already" in deploy(server, other, expect=409)["detail"]
    assert "is deployed already, as 'Relay'" in deploy(server, expect=409, name="again")["detail"]
    assert server.api.post("/projects", json={"name": "second"}).status_code == 201
    body = {"flow": {"file": "relay.yaml", "text": other}}
    assert server.api.post("/deployments?project=second", json=body).status_code == 201


def test_a_deployment_asks_for_its_labels(server: ServerProcess, make_agent: Agents) -> None:
    deploy(server, labels=["edge"])
    (run,) = wait_for(lambda: server.api.get("/runs").json()["runs"])
    (job,) = wait_for(lambda: server.run(run["id"])["jobs"])
    assert job["runs_on"] == ["edge"]
    agent = make_agent(server, labels=["edge"]).connect()
    assert agent.take().spec.run == run["id"]


def test_who_may_deploy(server: ServerProcess) -> None:
    for role, status in (("viewer", 403), ("runner", 403), ("maintainer", 201)):
        with server.as_user(server.add_user(f"a-{role}", role=role)) as api:
            body = {"flow": {"file": "relay.yaml", "text": RELAY}}
            assert api.post("/deployments", json=body).status_code == status
            assert api.get("/deployments").status_code == 200
