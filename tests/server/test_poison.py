"""A job that can't be handed out ends alone, with its reason; the others go on."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server.vocabulary import ServerProcess, TestAgent, journal, wait_for

from agent.server.agents.leases import MOST_FRUITLESS
from agent.wire import messages as m
from agent.wire.messages import CANNOT_KEEP

Servers = Callable[..., ServerProcess]
Agents = Callable[..., TestAgent]


def deep(levels: int) -> Any:
    value: Any = "end"
    for _ in range(levels):
        value = [value]
    return value


POISONS: dict[str, dict[str, Any]] = {
    "a time-out over every clock": {"timeout_minutes": 1e308},
    "an infinite time-out": {"timeout_minutes": float("inf")},
    "a time-out that is no number": {"timeout_minutes": float("nan")},
    "a matrix over the frame": {"contexts": {"matrix": {"x": "y" * (5 << 20)}}},
    "a context that is nested too deep": {"contexts": {"github": {"event": {"x": deep(900)}}}},
    "a number that is none": {"contexts": {"inputs": {"x": float("inf")}}},
    "half a surrogate pair": {"contexts": {"inputs": {"x": "\ud800"}}},
    "a text where a list is to be": {"steps": "none"},
    "no secrets but a number": {"secrets": [1]},
}


def poison(server: ServerProcess, run: int, change: dict[str, Any]) -> None:
    """Let the specification of the run's job be as no check before has let through."""
    ((text,),) = server.sql("SELECT spec FROM jobs WHERE run = ?", run)
    spec = json.loads(text)
    for key, value in change.items():
        spec[key] = {**spec[key], **value} if isinstance(value, dict) else value
    server.sql("UPDATE jobs SET spec = ? WHERE run = ?", json.dumps(spec), run)


def check_that_others_go_on(server: ServerProcess, agent: TestAgent, bad: int) -> dict[str, Any]:
    """A job beside the bad one is handed out; the bad one as it stands when it ended, or was handed out too."""
    good = server.submit()
    agent.connect(max_jobs=2)
    while True:
        assign = agent.take()
        agent.finish(assign, journal(assign))
        if assign.spec.run == good:
            break
    return wait_for(lambda: (job := server.job(bad))["status"] == "completed" and job, "the bad job to end")


@pytest.mark.parametrize("name", POISONS)
def test_a_job_that_can_not_be_handed_out_ends_and_no_other_waits_for_it(
    name: str, make_server: Servers, make_agent: Agents
) -> None:
    server = make_server()
    agent = make_agent(server)
    bad = server.submit()
    poison(server, bad, POISONS[name])
    job = check_that_others_go_on(server, agent, bad)
    if job["conclusion"] != "success":  # an odd number alone keeps nobody from running it
        assert (job["conclusion"], job["failure_kind"]) == ("failure", "infrastructure")
        assert "can't be" in job["message"] or "expected" in job["message"], job["message"]
    assert server.sql("SELECT count(*) FROM leases WHERE job = ?", job["id"]) == [(1,)]


def test_a_job_of_several_machines_that_can_not_be_read_ends_and_no_other_waits_for_it(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server()
    agent, second = make_agent(server), make_agent(server, name="box-2").connect()
    bad = server.submit(
        "on: workflow_dispatch\njobs:\n  train:\n    runs-on: linux\n    nodes: 2\n    steps:\n      - run: a\n"
    )
    poison(server, bad, {"steps": "none"})
    agent.connect()
    job = server.wait_for_job(bad, status="completed")
    assert (job["conclusion"], job["failure_kind"]) == ("failure", "infrastructure")
    assert "can't be handed out" in job["message"]
    good = server.submit()
    second.disconnect()
    assert agent.take().spec.run == good


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=20,
)
FIELDS = (
    "key",
    "name",
    "runs_on",
    "env",
    "outputs",
    "timeout_minutes",
    "secrets",
    "contexts",
    "services",
    "environment",
)


@pytest.fixture(scope="module")
def endless(server: ServerProcess) -> Any:
    agent = TestAgent(server, name="property", token=server.registration())
    yield server, agent
    agent.disconnect()


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(field=st.sampled_from(FIELDS), value=JSON)
def test_whatever_stands_in_a_specification_it_is_handed_out_or_ends(
    endless: Any, field: str, value: Any
) -> None:
    server, agent = endless
    bad = server.submit()
    text = json.dumps({field: value})
    if "\\u0000" in text:  # no database would have it
        value = None
    poison(server, bad, {field: [value]} if isinstance(value, dict) else {field: value})
    job = check_that_others_go_on(server, agent, bad)
    ((offers,),) = server.sql("SELECT count(*) FROM leases WHERE job = ?", job["id"])
    assert offers <= MOST_FRUITLESS


def refuse_next(agent: TestAgent, reason: str) -> None:
    """Refuse the next offer, and let it be so long ago that the job is offered to this agent again."""
    assign = agent.connect().hear(m.Assign)
    agent.protocol.refuse(assign.job, assign.lease, reason)
    agent.flush()
    query = "SELECT state FROM leases WHERE job = ? AND number = ?"
    wait_for(lambda: agent.server.sql(query, assign.job, assign.lease) == [("refused",)])
    agent.disconnect()  # else the next offer may come on this connection, just before it is replaced
    agent.server.sql("UPDATE leases SET ended_at = ended_at - 3600")


def test_a_job_that_no_agent_can_keep_is_offered_a_few_times_and_ends(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server()
    agent = make_agent(server)
    run = server.submit()
    for _ in range(MOST_FRUITLESS):
        refuse_next(agent, f"{CANNOT_KEEP}: the name of its folder is too long")
    job = server.wait_for_job(run, status="completed")
    assert (job["conclusion"], job["failure_kind"]) == ("failure", "infrastructure")
    assert "the name of its folder is too long" in job["message"]


def test_a_job_whose_offer_ends_each_connection_is_offered_a_few_times_and_ends(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server()
    agent = make_agent(server)
    run = server.submit()
    for _ in range(MOST_FRUITLESS):
        agent.connect().hear(m.Assign)
        agent.disconnect()
    agent.connect()
    job = server.wait_for_job(run, status="completed")
    assert (job["conclusion"], job["failure_kind"]) == ("failure", "infrastructure")
    assert f"{MOST_FRUITLESS} times" in job["message"]


def test_agents_that_are_busy_do_not_end_a_job(make_server: Servers, make_agent: Agents) -> None:
    server = make_server()
    agent = make_agent(server)
    run = server.submit()
    for _ in range(MOST_FRUITLESS + 2):
        refuse_next(agent, "the agent takes no new jobs")
    assert agent.connect().take().spec.run == run


@pytest.mark.parametrize("minutes", ["1e308", "-1", "600000", ".inf"])
@pytest.mark.parametrize("key", ["timeout-minutes", "cancel-timeout-minutes"])
def test_minutes_that_make_no_sense_are_refused_at_submit_with_their_place(
    make_server: Servers, key: str, minutes: str
) -> None:
    text = f"on: workflow_dispatch\njobs:\n  train:\n    runs-on: linux\n    {key}: {minutes}\n    steps:\n      - run: a\n"
    answer = make_server().api.post("/runs", json={"flow": {"file": "flow.yml", "text": text}})
    assert answer.status_code == 422, answer.text
    (problem,) = answer.json()["problems"]
    assert (problem["line"], "expected minutes from 0" in problem["message"]) == (5, True)


def test_a_computed_time_out_that_makes_no_sense_ends_its_job(make_server: Servers) -> None:
    server = make_server()
    run = server.submit(
        "on: workflow_dispatch\njobs:\n  train:\n    runs-on: linux\n"
        "    timeout-minutes: ${{ fromJSON('1e308') }}\n    steps:\n      - run: a\n"
    )
    job = server.wait_for_job(run, status="completed")
    assert "'timeout-minutes' is not a number from 0 to" in job["message"]


def test_an_event_that_is_nested_too_deep_is_refused_at_submit(make_server: Servers) -> None:
    server = make_server()
    text = "on: push\njobs:\n  train:\n    runs-on: linux\n    steps:\n      - run: a\n"
    for levels in (60, 900):
        body = {"flow": {"file": "flow.yml", "text": text}, "event_payload": {"x": deep(levels)}}
        answer = server.api.post("/runs", json=body)
        assert answer.status_code in (400, 422), answer.text
        assert "deep" in answer.text or "recursion" in answer.text


def test_an_event_that_somebody_sends_may_be_nested_no_deeper(server: ServerProcess) -> None:
    for levels, status in ((40, 202), (60, 400), (900, 400)):
        body = {"event_type": "go", "client_payload": {"x": deep(levels)}}
        answer = server.api.post("/events", json=body)
        assert answer.status_code == status, answer.text
        assert status == 202 or "deep" in answer.text or "recursion" in answer.text
