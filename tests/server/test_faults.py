"""Nothing is lost: kill -9 of the server, lost connections, lost words, old leases."""

import json
import socket
import struct
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from server.vocabulary import (
    ONE_JOB,
    TWO_JOBS,
    ServerProcess,
    TestAgent,
    closing,
    frames,
    journal,
    log,
    step,
    wait_for,
)
from websockets.exceptions import ConnectionClosedOK

from agent import codec
from agent.journal.format import Annotation, Record, StepChanged, Summary
from agent.server.data.record_bounds import MOST_ANNOTATIONS, MOST_STEPS, MOST_SUMMARY_CHARACTERS
from agent.wire import messages as m

Agents = Callable[..., TestAgent]
Servers = Callable[..., ServerProcess]

SHORT = {"lease_terms": {"offer_seconds": 0.3, "grace_seconds": 0.5}}


@pytest.fixture
def own(make_server: Servers) -> ServerProcess:
    return make_server()


def held(assign: m.Assign, size: int, *, is_running: bool = True) -> m.HeldJob:
    return m.HeldJob(assign.job, assign.lease, size, is_running)


def test_a_queued_run_is_offered_after_kill_9(own: ServerProcess, make_agent: Agents) -> None:
    agent = make_agent(own)
    run = own.submit()
    own.restart_after_kill()
    agent.connect()
    agent.finish(assign := agent.take(), journal(assign))
    assert own.run(run)["conclusion"] == "success"


def test_kill_9_at_every_cut_of_a_journal_loses_and_doubles_nothing(
    own: ServerProcess, make_agent: Agents
) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    whole = journal(assign, step(), log("one\n"), log("two\n"), log("three\n"))
    cuts = [0, 5, 60, len(whole) // 2, len(whole) - 3]
    for start, end in pairwise(cuts):
        agent.ship(assign, whole[start:end])
        own.restart_after_kill()
        agent.connect(held=(held(assign, len(whole)),))
        # Acknowledged bytes are there; a torn record's first bytes may be asked for again.
        offset = agent.hear(m.Ack, job=assign.job).offset
        assert offset <= end
        if offset < end:
            agent.ship(assign, whole[offset:end])
    agent.ship(assign, whole[cuts[-1] :], wait=False)
    agent.hear(m.Release)
    assert own.run(run)["conclusion"] == "success"
    assert own.api.get(f"/jobs/{assign.job}/log").text == "one\ntwo\nthree\n"


def test_what_was_shipped_but_not_yet_in_rows_is_applied_at_the_next_start(
    own: ServerProcess, make_agent: Agents
) -> None:
    """The state right after a crash between the sync of a journal and the transaction that reads it."""
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    start = journal(assign, closes=False)
    agent.ship(assign, start)
    own.kill()
    whole = start + frames(log("late\n"), closing())
    own.put_journal(assign.job, assign.lease, whole)
    own.start()
    assert own.run(run)["conclusion"] == "success"
    agent.connect(held=(held(assign, len(whole), is_running=False),))
    agent.hear(m.Release, job=assign.job)


@pytest.mark.parametrize("ends", ["expires", "is forsaken"])
def test_a_last_word_that_is_stored_counts_when_its_lease_ends_otherwise(
    own: ServerProcess, make_agent: Agents, ends: str
) -> None:
    """Another server has stored the end of a journal and died before it read it; the agent does not come back with it."""
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    start = journal(assign, step(), closes=False)
    agent.ship(assign, start)
    agent.disconnect()
    rest = frames(log("late\n"), step("completed"), closing(outputs={"model": "m"}))
    own.put_journal(assign.job, assign.lease, start + rest)
    if ends == "expires":
        own.sql("UPDATE leases SET deadline = 0 WHERE job = ?", assign.job)
        own.submit()  # the dispatcher looks
    else:
        agent.connect()
    job = own.wait_for_job(run, status="completed")
    assert (job["conclusion"], job["outputs"], job["failure_kind"]) == ("success", {"model": "m"}, None)
    assert own.sql("SELECT state FROM leases WHERE job = ?", assign.job) == [("released",)]
    assert own.api.get(f"/jobs/{assign.job}/log").text == "late\n"
    assert own.api.get(f"/jobs/{assign.job}").json()["steps"][0]["state"] == "completed"


@pytest.mark.store("sqlite")
def test_a_torn_tail_is_cut_and_shipped_again(own: ServerProcess, make_agent: Agents) -> None:
    own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    start = journal(assign, log("kept\n"), closes=False)
    agent.ship(assign, start)
    own.kill()
    with (own.data / "journals" / f"{assign.job}-{assign.lease}").open("ab") as out:
        out.write(b"\0" * 100)  # what a file system may leave after a power cut
    own.start()
    agent.connect(held=(held(assign, len(start) + 50),))
    assert agent.hear(m.Ack, job=assign.job).offset == len(start)


def test_a_viewer_sees_the_whole_log_over_a_restart(own: ServerProcess, make_agent: Agents) -> None:
    own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    start = journal(assign, log("before\n"), closes=False)
    agent.ship(assign, start)
    own.restart_after_kill()
    agent.connect(held=(held(assign, len(start)),))
    agent.hear(m.Ack, job=assign.job)
    agent.finish(assign, frames(log("after\n"), closing()))
    texts = [data["text"] for _, kind, data in own.events(f"/jobs/{assign.job}/events") if kind == "log"]
    assert texts == ["before", "after"]


def test_an_accept_that_was_lost_with_its_connection_is_made_good(
    own: ServerProcess, make_agent: Agents
) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.hear(m.Assign)
    agent.connect(held=(held(assign, 0),))
    assert agent.hear(m.Ack, job=assign.job).offset == 0
    assert own.job(run)["status"] == "running"


def test_an_accepted_job_is_told_to_begin_when_that_is_stored(own: ServerProcess, make_agent: Agents) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    assert agent.hear(m.Ack, job=assign.job).offset == 0
    assert own.job(run)["status"] == "running"


def test_a_cancel_that_comes_before_the_job_has_begun_is_told_when_it_has(
    own: ServerProcess, make_agent: Agents
) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.hear(m.Assign)
    own.api.post(f"/runs/{run}/cancel")
    other = own.submit(ONE_JOB.replace("linux", "nowhere"))
    wait_for(
        lambda: own.job(other)["waiting"], "a round of the dispatcher, which has sent what cancels it sends"
    )
    agent.protocol.accept(assign.job, assign.lease)
    agent.flush()
    assert agent.hear(m.Cancel, job=assign.job).lease == assign.lease
    assert [type(message) for message in agent.heard] == [m.Ack], "the word to begin came first"


def test_an_assign_that_never_arrived_is_given_out_again_under_the_next_number(
    own: ServerProcess, make_agent: Agents
) -> None:
    own.submit()
    agent = make_agent(own).connect()
    first = agent.hear(m.Assign)
    agent.connect()
    assert agent.take().lease == first.lease + 1


def test_a_job_that_is_not_accepted_in_time_is_taken_back(make_server: Servers, make_agent: Agents) -> None:
    server = make_server(lease_terms={"offer_seconds": 0.3, "grace_seconds": 60.0})
    server.submit()
    agent = make_agent(server).connect()
    first = agent.hear(m.Assign)
    assert agent.hear(m.Revoke, lease=first.lease).job == first.job
    assert agent.hear(m.Assign).lease == first.lease + 1
    (reason,) = server.sql("SELECT reason FROM leases WHERE number = ?", first.lease)
    assert reason == ("its agent has not answered for 0.3 seconds",)


def test_a_job_whose_agent_stays_away_is_lost_and_says_so(make_server: Servers, make_agent: Agents) -> None:
    server = make_server(**SHORT)
    run = server.submit()
    agent = make_agent(server).connect()
    assign = agent.take()
    server.wait_for_job(run, status="running")
    agent.disconnect()
    job = server.wait_for_job(run, status="completed", conclusion="failure", failure_kind="lost")
    assert "has not been heard of for 0.5 seconds" in job["message"]
    assert server.run(run)["conclusion"] == "failure"
    told = server.events(f"/jobs/{assign.job}/events")
    assert [kind for _, kind, _ in told] == ["job", "end"]
    agent.connect(held=(held(assign, 1000),))
    assert agent.hear(m.Revoke).job == assign.job


def test_heartbeats_that_name_a_job_keep_its_lease(make_server: Servers, make_agent: Agents) -> None:
    server = make_server(lease_terms={"offer_seconds": 5.0, "grace_seconds": 0.6})
    run = server.submit()
    agent = make_agent(server).connect()
    assign = agent.take()
    started = server.wait_for_job(run, status="running")
    agent.hear(m.Ack, job=assign.job)
    for _ in range(12):
        agent.protocol.heartbeat((held(assign, 0),), {"cpu_percent": 3.0})
        agent.flush()
        wait_for(lambda: server.api.get(f"/agents/{agent.id}").json()["figures"] == {"cpu_percent": 3.0})
        with pytest.raises(TimeoutError):
            agent.socket.recv(timeout=0.1)  # the pace of the heartbeats
    assert server.job(run)["started"] == started["started"]
    assert server.job(run)["status"] == "running"


def test_an_agent_that_comes_back_without_its_job_has_lost_it(own: ServerProcess, make_agent: Agents) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    agent.take()
    own.wait_for_job(run, status="running")
    agent.connect()
    job = own.wait_for_job(run, status="completed", failure_kind="lost")
    assert "came back without it" in job["message"]


def test_a_journal_that_shrank_on_the_agent_ends_the_job_as_lost(
    own: ServerProcess, make_agent: Agents
) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    agent.ship(assign, journal(assign, log("x" * 100), closes=False))
    agent.connect(held=(held(assign, 10),))
    agent.hear(m.Revoke, job=assign.job)
    own.wait_for_job(run, status="completed", failure_kind="lost")


def test_a_cancel_is_told_to_an_agent_that_was_away(own: ServerProcess, make_agent: Agents) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    own.wait_for_job(run, status="running")
    agent.disconnect()
    own.api.post(f"/runs/{run}/cancel")
    agent.connect(held=(held(assign, 0),))
    assert agent.hear(m.Cancel).job == assign.job


def test_a_job_of_a_removed_agent_is_lost_and_its_identity_is_refused(
    own: ServerProcess, make_agent: Agents
) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    agent.take()
    own.wait_for_job(run, status="running")
    assert own.api.delete(f"/agents/{agent.id}").status_code == 204
    assert agent.hear_rejection().code == "unknown_agent"
    own.wait_for_job(run, status="completed", failure_kind="lost")
    with pytest.raises(ConnectionClosedOK):
        agent.connect()
    assert [message.code for message in agent.heard] == ["unknown_agent"]


def test_a_released_job_is_released_again_when_the_word_was_lost(
    own: ServerProcess, make_agent: Agents
) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    whole = journal(assign)
    agent.ship(assign, whole, wait=False)
    own.wait_for_job(run, conclusion="success")
    agent.connect(held=(held(assign, len(whole), is_running=False),))
    agent.hear(m.Release, job=assign.job)


def test_a_damaged_journal_ends_the_job_as_an_infrastructure_failure(
    own: ServerProcess, make_agent: Agents
) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    bad = bytearray(journal(assign, log("hello\n"), closes=False))
    bad[-1] ^= 1
    agent.ship(assign, bytes(bad), wait=False)
    assert "damaged" in agent.hear(m.Revoke).reason
    job = own.wait_for_job(run, failure_kind="infrastructure")
    assert "arrived damaged" in job["message"]


@pytest.mark.parametrize(
    "record",
    [Summary(0, "half a pair: \ud800"), StepChanged(1 << 70, "a", "a", "running", 1), Summary(1 << 70, "x")],
)
def test_a_record_that_no_table_can_hold_is_damage(
    own: ServerProcess, make_agent: Agents, record: Record
) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    raw = json.dumps(codec.to_json(record)).encode()
    head = struct.pack("<IB", len(raw), record.KIND)
    frame = head + raw + struct.pack("<I", zlib.crc32(raw, zlib.crc32(head)))
    agent.ship(assign, journal(assign, closes=False) + frame, wait=False)
    agent.hear(m.Revoke)
    own.wait_for_job(run, conclusion="failure", failure_kind="infrastructure")


def test_the_jobs_of_a_replaced_agent_are_lost_and_its_connection_ends(
    own: ServerProcess, make_agent: Agents
) -> None:
    run = own.submit()
    old = make_agent(own).connect()
    old.take()
    own.wait_for_job(run, status="running")
    new = make_agent(own, replace=True)
    assert old.hear_rejection().code == "unknown_agent"
    own.wait_for_job(run, status="completed", failure_kind="lost")
    own.submit()
    new.connect().take()


def test_a_grace_without_end_is_possible(make_server: Servers, make_agent: Agents) -> None:
    server = make_server(lease_terms={"grace_seconds": float("inf")})
    run = server.submit()
    agent = make_agent(server).connect()
    assign = agent.take()
    server.wait_for_job(run, status="running")
    server.restart_after_kill()
    agent.connect(held=(held(assign, 0),))
    agent.hear(m.Ack, job=assign.job)
    agent.finish(assign, journal(assign))
    assert server.run(run)["conclusion"] == "success"


def test_a_journal_that_says_it_is_another_jobs_is_damage(own: ServerProcess, make_agent: Agents) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    other = m.Assign("job_" + "0" * 20, assign.lease, assign.spec)
    agent.ship(assign, journal(other), wait=False)
    agent.hear(m.Revoke)
    own.wait_for_job(run, conclusion="failure", failure_kind="infrastructure")


def test_a_stop_is_graceful_also_with_open_streams_and_agents(own: ServerProcess, make_agent: Agents) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    with own.api.stream("GET", f"/runs/{run}/events") as stream:
        lines = stream.iter_lines()
        next(lines)
        assert own.process.poll() is None
        own.process.terminate()
        assert agent.hear_rejection().code == "shutting_down"
        assert "end" not in [line.removeprefix("event: ") for line in lines]  # the viewer comes back
    assert own.stop() == 0
    assert not (own.data / "address").exists()
    own.start()
    agent.connect(held=(held(assign, 0),))
    agent.hear(m.Ack, job=assign.job)


def test_a_second_server_on_the_same_folder_is_refused(own: ServerProcess) -> None:
    with pytest.raises(AssertionError, match="another server is running on this data folder"):
        ServerProcess(own.data)


def test_a_taken_address_is_a_sentence(make_server: Servers, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AssertionError, match="can't listen there"):
            ServerProcess(tmp_path / "data", listen=f"127.0.0.1:{port}")


def test_a_newer_schema_is_refused_and_left_alone(own: ServerProcess) -> None:
    own.kill()
    own.sql("UPDATE alembic_version SET version_num = '99'")
    with pytest.raises(AssertionError, match="the database has schema 99"):
        own.start()


def test_the_data_folder_is_private(own: ServerProcess) -> None:
    own.submit()
    modes = {path.name: path.stat().st_mode & 0o777 for path in own.data.rglob("*")}
    assert own.data.stat().st_mode & 0o777 == 0o700
    assert all(mode & 0o077 == 0 for mode in modes.values()), modes


def test_a_folder_that_others_can_read_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(AssertionError, match="others have rights"):
        ServerProcess(folder)


def test_tokens_are_shown_at_the_first_start_only(own: ServerProcess) -> None:
    first = own.token
    own.restart_after_kill()
    assert own.token == first
    assert own.api.get("/runs").status_code == 200
    assert httpx.get(f"{own.url}/api/v1/runs").status_code == 401


def test_a_run_in_the_middle_of_two_jobs_survives_kill_9(own: ServerProcess, make_agent: Agents) -> None:
    own.set_secret("DATA_KEY", "hunter2")
    run = own.submit(TWO_JOBS)
    agent = make_agent(own).connect()
    agent.finish(first := agent.take(), journal(first, outputs={"model": "m"}))
    own.restart_after_kill()
    agent.connect()
    second = agent.take()
    assert second.spec.contexts["needs"]["train"]["outputs"] == {"model": "m"}
    agent.finish(second, journal(second))
    assert own.run(run)["conclusion"] == "success"


def test_what_a_job_says_a_million_times_is_cut_short_and_that_is_said_once(
    own: ServerProcess, make_agent: Agents
) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    annotations = [Annotation(0, "notice", f"note {n}") for n in range(MOST_ANNOTATIONS + 5)]
    steps = [StepChanged(MOST_STEPS + n, "s", "S", "running", 1_800_000_001_000) for n in range(3)]
    summaries = [Summary(0, "x" * 1_000_000) for _ in range(9)]
    records = [*annotations, step(), *steps, *summaries, *annotations[:5]]
    whole = journal(assign, *records)
    for start in range(0, len(whole), 200_000):
        piece = whole[start : start + 200_000]
        agent.ship(assign, piece, wait=start + len(piece) < len(whole))
    agent.hear(m.Release, job=assign.job)
    view = own.api.get(f"/jobs/{own.job(run)['id']}").json()
    assert len(view["steps"]) == 1
    said = [entry["message"] for entry in view["annotations"]]
    assert said[3:] == [f"note {n}" for n in range(MOST_ANNOTATIONS)]
    assert sorted(text.partition(";")[0] for text in said[:3]) == [
        f"a job shows its first {MOST_ANNOTATIONS} annotations",
        f"a job shows its first {MOST_STEPS} steps",
        f"a job's summary has {MOST_SUMMARY_CHARACTERS} characters at most",
    ]
    assert own.run(run)["conclusion"] == "success"
    assert own.log.read_text().count("this one has more") == 3


@pytest.mark.store("sqlite")
@pytest.mark.parametrize("target", ["POST /api/v1/runs", "PUT /api/v1/runs/1/artifacts/a"])
def test_a_request_that_is_cut_off_in_its_body_is_a_line_of_the_access_log_and_no_bug(
    own: ServerProcess, target: str
) -> None:
    own.submit()
    head = f"Host: x\r\nAuthorization: Bearer {own.token}\r\nContent-Length: 100\r\n\r\n"
    with socket.create_connection((own.http.base_url.host, own.http.base_url.port)) as line:
        line.sendall(f"{target} HTTP/1.1\r\n{head}{{".encode())
    verb, _, path = target.partition(" ")
    wait_for(lambda: f"{verb} '{path}' 499" in own.log.read_text())
    assert "Traceback" not in own.log.read_text()
    left = [file for file in own.data.glob("blobs/**/*") if file.is_file()]
    assert not left
