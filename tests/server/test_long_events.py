"""Long events at the server: stored once a run, sent in parts to agents that ask, whole for the planner, and in no list."""

import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from server.test_fleet import Pair
from server.vocabulary import ServerProcess, TestAgent, journal, wait_for
from support.postgres import Cluster

from agent.spec.event_apart import find_digest
from agent.wire import messages as m

Servers = Callable[..., ServerProcess]
Agents = Callable[..., TestAgent]

SIZE = 5 << 20
LARGE = {"json_bytes": 2 * SIZE}  # of a request to start a run
WIDE = """\
on: push
run-name: ${{ github.event.head.title }}
jobs:
  first:
    if: github.event.head.title == 'a title' && github.event.list[3].n == 3
    runs-on: linux
    strategy: {matrix: {n: "${{ fromJSON(toJSON(github.event.ns)) }}"}}
    steps: [{run: "true"}]
  after:
    needs: first
    if: contains(toJSON(github.event.head), 'a title')
    concurrency: group-${{ github.event.list[5].n }}
    name: after ${{ github.event.head.title }}
    runs-on: linux
    steps: [{run: "true"}]
"""
ONE = "on: push\njobs:\n  first:\n    runs-on: linux\n    steps: [{run: 'true'}]\n"


def make_event(size: int = SIZE, ns: int = 1) -> dict[str, Any]:
    return {
        "head": {"title": "a title"},
        "ns": [*range(ns)],
        "list": [{"n": n, "text": "ä" * 500} for n in range(size // 1040)],
    }


def submit(server: ServerProcess, text: str, event: dict[str, Any]) -> int:
    return server.submit(text, event="push", event_payload=event)


def fetch(agent: TestAgent, assign: m.Assign, start: int = 0, most: int = 1 << 30) -> bytes:
    """What the agent gets of the job's event when it asks for one part after the other."""
    assert assign.spec.event_apart is not None
    text = bytearray()
    while start + len(text) < assign.spec.event_apart.size_bytes and len(text) < most:
        assert agent.protocol.want_event(assign.job, assign.lease, start + len(text))
        agent.flush()
        part = agent.hear(m.EventPart, job=assign.job, lease=assign.lease, offset=start + len(text))
        text += zlib.decompress(part.data)
    return bytes(text)


def check_document(assign: m.Assign, document: bytes, event: dict[str, Any]) -> None:
    assert assign.spec.event_apart is not None
    assert find_digest(document) == assign.spec.event_apart.digest
    (value,) = json.loads(document)
    assert {name: value[name] for name in event} == event
    assert assign.spec.contexts["github"]["event"] == {}
    assert assign.spec.contexts["github"]["repository"]


def held(assign: m.Assign) -> m.HeldJob:
    return m.HeldJob(assign.job, assign.lease, 0, is_running=False)


def test_an_event_is_stored_once_for_all_jobs_of_its_run(make_server: Servers, make_agent: Agents) -> None:
    server = make_server(limits=LARGE)
    agent = make_agent(server)
    event = make_event(ns=12)
    run = submit(server, WIDE, event)
    agent.connect(max_jobs=2)
    for _ in range(12):
        assign = agent.take()
        check_document(assign, fetch(agent, assign), event)
        agent.finish(assign, journal(assign))
    after = agent.take()
    assert after.spec.name == "after a title"
    ((state,),) = server.sql("SELECT length(state) FROM runs WHERE id = ?", run)
    ((specs,),) = server.sql("SELECT max(length(spec)) FROM jobs WHERE run = ?", run)
    assert max(state, specs) < 64 << 10
    parts = server.sql("SELECT place, data FROM event_parts WHERE run = ? ORDER BY place", run)
    assert [place for place, _ in parts] == [*range(len(parts))]
    check_document(after, b"".join(zlib.decompress(data) for _, data in parts), event)
    agent.finish(after, journal(after))
    shown = wait_for(lambda: (view := server.run(run))["status"] == "completed" and view)
    assert (shown["conclusion"], shown["run_name"]) == ("success", "a title")
    for path in (f"/runs/{run}", "/runs", f"/runs/{run}/jobs"):
        assert len(server.api.get(path).content) < 64 << 10


def test_an_agent_goes_on_where_it_was_after_the_server_was_killed(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server(limits=LARGE)
    agent = make_agent(server)
    event = make_event()
    run = submit(server, WIDE, event)
    agent.connect()
    assign = agent.take()
    begun = fetch(agent, assign, most=2 * m.EVENT_PART_BYTES)
    server.restart_after_kill()
    agent.connect(held=(held(assign),))
    agent.hear(m.Ack, job=assign.job)
    check_document(assign, begun + fetch(agent, assign, len(begun)), event)
    agent.finish(assign, journal(assign))
    after = agent.take()  # planned by a server that had to read the event anew
    assert after.spec.key == "after"
    agent.finish(after, journal(after))
    wait_for(lambda: server.run(run)["status"] == "completed")
    assert server.api.post(f"/runs/{run}/rerun", json={}).status_code == 201
    again = agent.take()
    check_document(again, fetch(agent, again), event)
    assert again.spec.contexts["github"]["run_attempt"] == "2"


def test_nobody_is_sent_the_event_of_a_job_that_is_not_theirs(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server(limits=LARGE)
    agent, other = make_agent(server), make_agent(server, name="box-2")
    submit(server, ONE, make_event())
    assign = agent.connect().take()
    fetch(agent, assign, most=1)
    other.connect()
    other.protocol._window.open(assign.job, assign.lease, 0)  # it says that it has the job
    assert other.protocol.want_event(assign.job, assign.lease, 0)
    other.flush()
    assert "not, or no longer, this agent's" in other.hear(m.Revoke).reason
    assert agent.protocol.want_event(assign.job, assign.lease, 100 * m.EVENT_PART_BYTES)
    agent.flush()
    assert agent.hear(m.EventPart, offset=100 * m.EVENT_PART_BYTES).data == b""


def connect_as_old(agent: TestAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(m, "PROTOCOL_VERSIONS", tuple(range(1, m.EVENT_PARTS_VERSION)))
        agent.connect()


def test_an_older_agent_has_an_event_with_its_job_as_far_as_a_message_holds_it(
    make_server: Servers, make_agent: Agents, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server(limits=LARGE)
    agent = make_agent(server)
    event = make_event(1 << 20)
    run = submit(server, ONE, event)
    connect_as_old(agent, monkeypatch)
    assign = agent.take()
    assert assign.spec.event_apart is None
    sent = assign.spec.contexts["github"]["event"]
    assert isinstance(sent, dict)
    assert {name: sent[name] for name in event} == event
    agent.finish(assign, journal(assign))
    assert server.wait_for_job(run, "first", status="completed")["conclusion"] == "success"


def test_a_longer_event_waits_for_an_agent_that_takes_it_and_holds_up_nobody(
    make_server: Servers, make_agent: Agents, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server(limits=LARGE)
    agent = make_agent(server)
    run = submit(server, ONE, make_event())
    connect_as_old(agent, monkeypatch)
    wait_for(lambda: "is too old" in server.job(run, "first")["waiting"], "the reason")
    other = server.submit()
    assign = agent.take()
    assert assign.spec.run == other
    agent.finish(assign, journal(assign))
    agent.connect()  # upgraded
    assign = agent.take()
    assert assign.spec.run == run


def test_an_event_that_goes_with_an_offer_to_an_older_agent_after_all_ends_its_job_alone(
    make_server: Servers, make_agent: Agents, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server(limits=LARGE)
    agent = make_agent(server)
    run = submit(server, ONE, make_event())
    server.sql("UPDATE jobs SET request = '{}' WHERE run = ?", run)
    connect_as_old(agent, monkeypatch)
    job = server.wait_for_job(run, "first", status="completed")
    assert (job["conclusion"], job["failure_kind"]) == ("failure", "infrastructure")
    assert "the agent is too old" in job["message"]
    other = server.submit()
    assert agent.take().spec.run == other


def test_a_payload_can_not_say_that_it_is_kept_apart(make_server: Servers, make_agent: Agents) -> None:
    """What stands for a long event is no part of the contexts."""
    server = make_server(limits=LARGE)
    agent = make_agent(server)
    event = {"event_apart": {"digest": "sha256:00", "size_bytes": 3, "places": []}, "a": 1}
    submit(server, ONE, event)
    assign = agent.connect().take()
    assert assign.spec.event_apart is None
    sent = assign.spec.contexts["github"]["event"]
    assert isinstance(sent, dict)
    assert {name: sent[name] for name in event} == event


@pytest.fixture
def pair(tmp_path: Path, postgres: Cluster) -> Iterator[Pair]:
    made = Pair(tmp_path, postgres)
    yield made
    for server in (made.one, made.two):
        server.kill()


def test_an_event_that_one_server_took_in_goes_out_at_the_other(pair: Pair, make_agent: Agents) -> None:
    agent = make_agent(pair.one)
    event = make_event(3 << 20)
    agent.server = pair.two
    agent.connect()
    run = submit(pair.one, WIDE, event)
    assign = agent.take()
    begun = fetch(agent, assign, most=2 * m.EVENT_PART_BYTES)
    pair.two.kill()
    agent.server = pair.one
    agent.socket = None
    agent.connect(held=(held(assign),))
    agent.hear(m.Ack, job=assign.job)
    check_document(assign, begun + fetch(agent, assign, len(begun)), event)
    agent.finish(assign, journal(assign))
    after = agent.take()
    agent.finish(after, journal(after))
    wait_for(lambda: pair.one.run(run)["conclusion"] == "success")
