"""Logs of jobs that are over: in the blob store, and read as before."""

from collections.abc import Callable

import pytest
from server.vocabulary import ServerProcess, TestAgent, closing, frames, journal, log, step, wait_for

from agent.wire import messages as m

Servers = Callable[..., ServerProcess]
Agents = Callable[..., TestAgent]
LINES = [f"line {n}" for n in range(1, 3001)]


def states(server: ServerProcess) -> list[str]:
    return [state for (state,) in server.sql("SELECT state FROM archives ORDER BY job")]


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
    server.archive_journals()
    assert states(server) == ["done"]
    assert server.journals() == {}
    assert {view: server.api.get(f"{path}/log{view}").text for view in VIEWS} == texts
    assert server.events(f"/jobs/{assign.job}/events") == events
    assert server.events(f"/jobs/{assign.job}/events", middle) == rest
    if place == "disk":
        (file,) = (server.data / "blobs" / "logs").rglob("*/*")
        assert file.stat().st_size < 40_000


def test_viewers_who_come_back_see_the_rest_wherever_the_log_is(
    make_server: Servers, make_agent: Agents
) -> None:
    """Lines that are cut between records, one of them over several parts of the log; and a second step beside it."""
    server = make_server()
    agent = make_agent(server).connect()
    server.submit()
    assign = agent.take()
    endless = [log("x" * 50_000, 0)] * 14
    pieces = [log(f"{n} begins\n{n} en", 0) if n % 2 else log(f"ds {n}\n{n} beside", 1) for n in range(3000)]
    agent.ship(assign, journal(assign, step(), *pieces, closes=False))
    path = f"/jobs/{assign.job}"
    for piece in endless:
        agent.ship(assign, frames(piece))
    agent.finish(assign, frames(log("\nthe last", 0), closing()))
    events = server.events(f"{path}/events")
    ids = [number for number, _, _ in events if number]
    comes_back = (ids[0], *ids[:: len(ids) // 8], ids[-3], ids[-2], ids[-1])

    def check() -> None:
        for last in comes_back:
            place = next(place for place, event in enumerate(events) if event[0] == last)
            assert server.events(f"{path}/events", last) == events[place + 1 :], last
        assert server.api.get(f"{path}/log?tail=1").text == "the last"

    check()
    server.restart_after_kill()
    check()
    server.archive_journals()
    assert server.journals() == {}
    check()


def test_a_crash_between_the_archive_and_the_removal_loses_nothing(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server()
    assign = finish_job(server, make_agent(server).connect())
    ((key, data),) = server.journals().items()
    before = server.api.get(f"/jobs/{assign.job}/log").text
    server.archive_journals()
    server.kill()
    server.put_journal(*key, data)  # as it was before the removal
    server.sql("UPDATE archives SET state = 'stored', due_at = 1")
    server.start()
    wait_for(lambda: states(server) == ["done"] and not server.journals(), "the removal")
    assert server.api.get(f"/jobs/{assign.job}/log").text == before


def test_a_journal_that_is_damaged_stays_as_it_is(make_server: Servers, make_agent: Agents) -> None:
    server = make_server()
    finish_job(server, make_agent(server).connect())
    server.stop()
    ((key, data),) = server.journals().items()
    middle = len(data) // 2
    damaged = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    server.put_journal(*key, damaged)
    server.start()
    server.archive_journals()
    assert states(server) == ["kept"]
    assert server.journals() == {key: damaged}


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
