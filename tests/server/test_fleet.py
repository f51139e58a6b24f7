"""Two servers on one database: an agent may go on at either, and what one of them does the other knows."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from server.vocabulary import (
    ONE_JOB,
    ServerProcess,
    TestAgent,
    closing,
    frames,
    journal,
    log,
    read_events,
    wait_for,
)
from support.postgres import Cluster

from agent.wire import messages as m

Agents = Callable[..., TestAgent]

KEY = "bWFzdGVyLWtleS1mb3ItdGVzdHMtMzItYnl0ZXMhISE="


class Pair:
    """Two servers, and how to move an agent from one to the other."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.cluster = cluster
        self.url = cluster.make_database()
        self.one = ServerProcess(folder / "one", database_url=self.url, master_key=KEY)
        self.two = self.join(folder / "two")

    def join(self, data: Path) -> ServerProcess:
        """One more server; it prints no tokens, the first one's are good."""
        server = ServerProcess(data, database_url=self.url, master_key=KEY)
        assert (server.token, server.server_id) == ("", self.one.server_id)
        server.token, server.registration_token = self.one.token, self.one.registration_token
        server.api.headers["Authorization"] = f"Bearer {server.token}"
        return server


@pytest.fixture
def pair(tmp_path: Path, postgres: Cluster) -> Iterator[Pair]:
    made = Pair(tmp_path, postgres)
    yield made
    for server in (made.one, made.two):
        server.kill()


def move(agent: TestAgent, server: ServerProcess, *held: m.HeldJob) -> None:
    """Connect the agent to another server, without a word to the one before."""
    agent.server = server
    agent.socket = None
    agent.connect(held=held)


def held(assign: m.Assign, size: int) -> m.HeldJob:
    return m.HeldJob(assign.job, assign.lease, size, is_running=True)


def test_a_run_submitted_here_is_run_by_an_agent_there(pair: Pair, make_agent: Agents) -> None:
    agent = make_agent(pair.two).connect()
    run = pair.one.submit()
    agent.finish(assign := agent.take(), journal(assign, log("hello\n")))
    assert pair.one.wait_for_job(run, status="completed")["conclusion"] == "success"
    assert pair.one.api.get(f"/jobs/{assign.job}/log").text == "hello\n"


def test_a_viewer_here_sees_live_what_comes_in_there(pair: Pair, make_agent: Agents) -> None:
    agent = make_agent(pair.two).connect()
    pair.one.submit()
    assign = agent.take()
    events = read_events(pair.one.api, f"/jobs/{assign.job}/events")
    agent.ship(assign, journal(assign, log("first\n"), closes=False))
    assert next(data["text"] for _, kind, data in events if kind == "log") == "first"
    agent.finish(assign, frames(log("second\n"), closing()))
    assert [data["text"] for _, kind, data in events if kind == "log"] == ["second"]


def test_a_job_goes_on_at_the_other_server_from_the_byte_that_is_stored(
    pair: Pair, make_agent: Agents
) -> None:
    run = pair.one.submit()
    agent = make_agent(pair.one).connect()
    assign = agent.take()
    whole = journal(assign, log("one\n"), log("two\n"))
    agent.ship(assign, whole[:50])
    pair.one.kill()
    agent.disconnect()
    move(agent, pair.two, held(assign, len(whole)))
    assert agent.hear(m.Ack, job=assign.job).offset == 50
    agent.finish(assign, whole[50:])
    assert pair.two.run(run)["conclusion"] == "success"
    assert pair.two.api.get(f"/jobs/{assign.job}/log").text == "one\ntwo\n"


def test_an_agent_that_connects_elsewhere_is_replaced_here_and_keeps_its_job(
    pair: Pair, make_agent: Agents
) -> None:
    run = pair.one.submit()
    agent = make_agent(pair.one).connect()
    assign = agent.take()
    pair.one.wait_for_job(run, status="running")
    older, protocol = agent.socket, agent.protocol
    assert older is not None
    move(agent, pair.two, held(assign, 0))
    agent.hear(m.Ack, job=assign.job)
    rejections = [
        message
        for frame in older
        for message in protocol.receive_text(str(frame))
        if isinstance(message, m.Rejected)
    ]
    older.close()
    assert [rejection.code for rejection in rejections] == ["replaced"]
    agent.finish(assign, journal(assign))
    assert pair.one.wait_for_job(run, status="completed")["conclusion"] == "success"


def test_a_cancel_here_reaches_the_agent_there(pair: Pair, make_agent: Agents) -> None:
    run = pair.one.submit()
    agent = make_agent(pair.two).connect()
    assign = agent.take()
    pair.one.wait_for_job(run, status="running")
    assert pair.one.api.post(f"/runs/{run}/cancel", json={"reason": "no more"}).is_success
    assert agent.hear(m.Cancel).job == assign.job


def test_an_agent_removed_here_is_turned_away_there(pair: Pair, make_agent: Agents) -> None:
    run = pair.one.submit()
    agent = make_agent(pair.two).connect()
    agent.take()
    pair.one.wait_for_job(run, status="running")
    assert pair.one.api.delete(f"/agents/{agent.id}").status_code == 204
    assert agent.hear_rejection().code == "unknown_agent"
    pair.two.wait_for_job(run, status="completed", failure_kind="lost")


def test_what_an_admin_says_here_of_an_agent_counts_there_at_once(pair: Pair, make_agent: Agents) -> None:
    agent = make_agent(pair.two).connect(max_jobs=3)
    run = pair.one.submit(ONE_JOB.replace("runs-on: linux", "runs-on: [linux, a-lab]"))
    wait_for(lambda: "a-lab" in pair.one.job(run)["waiting"], "the reason")
    arrange = {"labels": ["a-lab"], "max_jobs": 1}
    assert pair.one.api.patch(f"/agents/{agent.id}", json=arrange).status_code == 200
    assert agent.take().spec.run == run
    shown = pair.two.api.get(f"/agents/{agent.id}").json()
    assert (shown["max_jobs"], shown["arranged"]["labels"]) == (1, ["a-lab"])
    assert pair.one.api.patch(f"/agents/{agent.id}", json={"draining": True}).status_code == 200
    assert pair.two.api.get(f"/agents/{agent.id}").json()["status"] == "draining"
    waiting = pair.two.submit()
    wait_for(lambda: "draining" in pair.two.job(waiting)["waiting"], "the reason")


def test_each_server_says_who_is_connected_to_any(pair: Pair, make_agent: Agents) -> None:
    make_agent(pair.one, name="left").connect()
    make_agent(pair.two, name="right").connect()
    for server in (pair.one, pair.two):
        wait_for(
            lambda server=server: (
                {agent["name"]: agent["status"] for agent in server.api.get("/agents").json()["agents"]}
                == {"left": "online", "right": "online"}
            )
        )


def test_why_a_job_waits_counts_the_agents_of_all_servers(pair: Pair, make_agent: Agents) -> None:
    make_agent(pair.one, name="left").connect()
    make_agent(pair.two, name="right").connect()
    run = pair.one.submit(ONE_JOB.replace("runs-on: linux", "runs-on: tpu"))
    wait_for(lambda: "2 agents are connected" in pair.two.job(run)["waiting"])


def test_a_server_that_starts_leaves_the_leases_to_those_that_are_there(
    pair: Pair, make_agent: Agents, tmp_path: Path
) -> None:
    run = pair.one.submit()
    agent = make_agent(pair.one).connect()
    agent.take()
    pair.one.wait_for_job(run, status="running")
    database = pair.url.partition("@/")[2].partition("?")[0]
    before = pair.cluster.execute("SELECT deadline FROM leases", database)
    third = pair.join(tmp_path / "three")
    third.kill()
    assert pair.cluster.execute("SELECT deadline FROM leases", database) == before


def test_connections_outlast_a_crash_of_the_database(pair: Pair, make_agent: Agents) -> None:
    run = pair.one.submit()
    agent = make_agent(pair.two).connect()
    assign = agent.take()
    whole = journal(assign, log("one\n"), log("two\n"))
    agent.ship(assign, whole[:60])
    pair.cluster.stop()
    answer = pair.one.api.get("/runs")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert answer.json()["title"] == "Not available now"
    agent.ship(assign, whole[60:], wait=False)
    wait_for(lambda: all(" wait: " in server.log.read_text() for server in (pair.one, pair.two)))
    pair.cluster.start()
    agent.hear(m.Release, job=assign.job)
    assert pair.two.run(run)["conclusion"] == "success"
    assert pair.two.api.get(f"/jobs/{assign.job}/log").text == "one\ntwo\n"
    for file in (pair.one.log, pair.two.log):
        wait_for(lambda file=file: "go on: the database is back" in file.read_text())
        assert "Traceback" not in file.read_text()


def test_wake_ups_come_again_after_a_crash_of_the_database(pair: Pair, make_agent: Agents) -> None:
    agent = make_agent(pair.two).connect()
    pair.cluster.restart()
    run = wait_for(lambda: submit_if_it_works(pair.one))
    agent.finish(assign := agent.take(), journal(assign))
    assert pair.one.wait_for_job(run, status="completed")["conclusion"] == "success"


def submit_if_it_works(server: ServerProcess) -> int | None:
    answer = server.api.post("/runs", json={"flow": {"file": "flow.yml", "text": ONE_JOB}})
    return int(answer.json()["run"]) if answer.status_code == 201 else None


def test_two_servers_vouch_for_jobs_with_one_key(pair: Pair) -> None:
    with ThreadPoolExecutor() as both:
        found = list(
            both.map(lambda server: server.http.get("/.well-known/jwks").json(), (pair.one, pair.two))
        )
    assert len(found[0]["keys"]) == 1
    assert found[0] == found[1]
    assert pair.one.api.post("/id-token-keys", json={"at_once": True}).status_code == 200
    rotated = pair.two.http.get("/.well-known/jwks").json()
    assert rotated != found[0]
    assert rotated == pair.one.http.get("/.well-known/jwks").json()
