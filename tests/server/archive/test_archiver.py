"""Logs of jobs that are over: in the blob store, and read as before."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from server.vocabulary import ServerProcess, TestAgent, journal, log, step, wait_for

from agent.wire import messages as m

pytestmark = pytest.mark.store("sqlite")
Servers = Callable[..., ServerProcess]
Agents = Callable[..., TestAgent]
LINES = [f"line {n}" for n in range(1, 3001)]


def make_due(server: ServerProcess) -> None:
    """The time has come for everything that is to be archived."""
    with closing(sqlite3.connect(server.data / "flow.db", timeout=20)) as database, database:
        database.execute("UPDATE archives SET due_at = 1 WHERE due_at IS NOT NULL")


def states(server: ServerProcess) -> list[str]:
    with closing(sqlite3.connect(server.data / "flow.db", timeout=20)) as database:
        return [row[0] for row in database.execute("SELECT state FROM archives ORDER BY job")]


def journals(server: ServerProcess) -> list[Path]:
    return list((server.data / "journals").iterdir())


def archive(server: ServerProcess) -> None:
    """Bring all journals into archives: the loop looks at its start."""
    server.stop()
    make_due(server)
    server.start()
    wait_for(lambda: set(states(server)) <= {"done", "kept"} and not journals(server), "the archiver")


def finish_job(server: ServerProcess, agent: TestAgent) -> m.Assign:
    server.submit()
    assign = agent.take()
    records = [step(), *(log(f"{line}\n", 0) for line in LINES), log("other\n", 1), log("no end", 0)]
    agent.finish(assign, journal(assign, *records))
    return assign


VIEWS = (
    "",
    "?from_line=2990",
    "?from_line=2990&lines=3",
    "?lines=2",
    "?tail=3",
    "?tail=1&step=1",
    "?step=1",
    "?from_line=3001&step=0",
    "?from_line=5000",
)


@pytest.mark.parametrize("place", ["disk", "s3"])
def test_a_log_reads_the_same_before_and_after_it_is_archived(
    make_server: Servers, make_agent: Agents, place: str, request: pytest.FixtureRequest
) -> None:
    server = make_server(blobs_url=request.getfixturevalue("s3").blobs_url() if place == "s3" else "")
    assign = finish_job(server, make_agent(server).connect())
    path = f"/jobs/{assign.job}"
    texts = {view: server.api.get(f"{path}/log{view}").text for view in VIEWS}
    assert texts[""] == "".join(f"{line}\n" for line in LINES) + "other\nno end"
    assert texts["?from_line=2990&lines=3"] == "line 2990\nline 2991\nline 2992\n"
    assert texts["?tail=3"] == "line 3000\nother\nno end"
    assert texts["?from_line=3001&step=0"] == "no end"
    assert texts["?from_line=5000"] == ""
    events = server.events(f"/jobs/{assign.job}/events")
    middle = events[len(events) // 2][0]
    rest = server.events(f"/jobs/{assign.job}/events", middle)
    archive(server)
    assert states(server) == ["done"]
    assert {view: server.api.get(f"{path}/log{view}").text for view in VIEWS} == texts
    assert server.events(f"/jobs/{assign.job}/events") == events
    assert server.events(f"/jobs/{assign.job}/events", middle) == rest
    if place == "disk":
        (file,) = (server.data / "blobs" / "logs").rglob("*/*")
        assert file.stat().st_size < 40_000


def test_a_crash_between_the_archive_and_the_removal_loses_nothing(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server()
    assign = finish_job(server, make_agent(server).connect())
    raw = journals(server)[0].read_bytes()
    name = journals(server)[0].name
    before = server.api.get(f"/jobs/{assign.job}/log").text
    archive(server)
    server.kill()
    (server.data / "journals" / name).write_bytes(raw)  # as it was before the removal
    with closing(sqlite3.connect(server.data / "flow.db", timeout=20)) as database, database:
        database.execute("UPDATE archives SET state = 'stored', due_at = 1")
    server.start()
    wait_for(lambda: states(server) == ["done"] and not journals(server), "the removal")
    assert server.api.get(f"/jobs/{assign.job}/log").text == before


def test_a_journal_that_is_damaged_stays_as_it_is(make_server: Servers, make_agent: Agents) -> None:
    server = make_server()
    finish_job(server, make_agent(server).connect())
    server.stop()
    (file,) = journals(server)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    make_due(server)
    server.start()
    wait_for(lambda: states(server) == ["kept"], "the archiver")
    assert journals(server) == [file]


def test_a_job_that_runs_keeps_its_journal(make_server: Servers, make_agent: Agents) -> None:
    server = make_server()
    agent = make_agent(server).connect()
    server.submit()
    assign = agent.take()
    agent.ship(assign, journal(assign, log("still here\n"), closes=False))
    wait_for(lambda: server.api.get(f"/jobs/{assign.job}/log").text == "still here\n", "the log")
    assert states(server) == []


@pytest.mark.parametrize(
    "query", ["from_line=0", "lines=0", "tail=0", "tail=1&from_line=2", "step=-1", "x=1"]
)
def test_a_question_that_makes_no_sense_is_refused(server: ServerProcess, query: str) -> None:
    run = server.submit()
    job = server.job(run)["id"]
    assert server.api.get(f"/jobs/{job}/log?{query}").status_code == 400
