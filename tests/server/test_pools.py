"""The server's threads: whoever asks the outside world holds up nobody but others who ask it."""

import ast
import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from server.triggers.lab import LOOPBACK, Lab
from server.vocabulary import ONE_JOB, ServerProcess, TestAgent, journal, log, wait_for
from support.git import serve_git
from support.silent_host import SilentHost

import agent.server
from agent.server.pools import OUTSIDE, OverloadedError, Pool, Terms

LOOK_UPS = min(32, (os.cpu_count() or 1) + 4)  # as many as asyncio's own threads, which all parts once shared
SHARE = OUTSIDE.threads // 4  # of one host
ALLOWED = {"to_thread": set(), "run_in_executor": set(), "getaddrinfo": {"triggers/outside.py"}}


def test_look_ups_at_a_host_that_never_answers_delay_no_commit_no_log_and_no_readiness(
    make_server: Callable[..., ServerProcess],
    make_agent: Callable[..., TestAgent],
    silent_host: SilentHost,
) -> None:
    server = make_server(triggers=LOOPBACK)
    box = make_agent(server).connect()

    def look_up(number: int) -> None:
        body = {"url": f"{silent_host.url}/acme/lab-{number}", "provider": "git"}
        with contextlib.suppress(httpx.HTTPError):  # it ends when the server does
            server.api.post("/repositories", json=body, timeout=None)

    asking = [threading.Thread(target=look_up, args=(number,)) for number in range(LOOK_UPS)]
    for thread in asking:
        thread.start()
    wait_for(lambda: silent_host.asked >= min(LOOK_UPS, SHARE), "the look-ups hang")

    run = server.submit(ONE_JOB)
    assign = box.take()
    box.finish(assign, journal(assign, log("hello\n")))
    server.wait_for_job(run, status="completed")
    assert "hello" in server.api.get(f"/jobs/{assign.job}/log").text
    assert server.http.get("/readyz").text == "ready\n"
    assert figures(server)[("flow_agent_pool_busy_threads", "outside")] == min(LOOK_UPS, SHARE)
    assert figures(server)[("flow_agent_pool_busy_threads", "store")] == 0
    # Nothing but the look-ups has asked for a thread of theirs: journals and logs have their own.
    assert figures(server)[("flow_agent_pool_calls_total", "outside")] == min(LOOK_UPS, SHARE)
    assert figures(server)[("flow_agent_pool_calls_total", "files")] > 0

    silent_host.release()
    for thread in asking:
        thread.join()


@pytest.mark.store("sqlite")
def test_a_host_that_never_answers_has_a_share_of_the_threads_and_another_host_is_asked_meanwhile(
    make_server: Callable[..., ServerProcess], silent_host: SilentHost, tmp_path: Path
) -> None:
    server = make_server(triggers=LOOPBACK)

    def look_up(number: int) -> None:
        body = {"url": f"{silent_host.url}/acme/lab-{number}", "provider": "git"}
        with contextlib.suppress(httpx.HTTPError):
            server.api.post("/repositories", json=body, timeout=None)

    asking = [threading.Thread(target=look_up, args=(number,)) for number in range(OUTSIDE.threads + 1)]
    for thread in asking:
        thread.start()
    wait_for(
        lambda: figures(server)[("flow_agent_pool_queue_length", "outside")] == len(asking) - SHARE,
        "they wait",
    )
    with serve_git(tmp_path / "git") as host:
        lab = Lab(server, host, tmp_path)
        assert lab.server.api.get(f"/repositories/{lab.id}").json()["problem"] == ""
    assert silent_host.asked == SHARE
    silent_host.release()
    for thread in asking:
        thread.join()


async def test_one_client_has_a_quarter_of_a_pool_until_its_work_ends_and_what_it_wants_beyond_waits_in_order() -> (
    None
):
    pool, gate = Pool(Terms("few", threads=4, queue=12, wait_seconds=60)), threading.Event()
    done: list[int] = []
    held = asyncio.ensure_future(pool.run_for("a", gate.wait))
    waiting = [asyncio.ensure_future(pool.run_for("a", done.append, number)) for number in range(3)]
    while (pool.figures.busy, pool.figures.queued) != (1, 3):
        await asyncio.sleep(0)
    with pytest.raises(OverloadedError, match="for a "):
        await pool.run_for("a", gate.wait)  # of the places where calls wait it has a quarter, too
    held.cancel()  # who gave up is in nobody's way, but its thread is the client's until it ends
    waiting[1].cancel()
    while pool.figures.queued != 2:
        await asyncio.sleep(0)
    waiting.append(asyncio.ensure_future(pool.run_for("a", done.append, 3)))
    assert await pool.run_for("b", lambda: "at once") == "at once"
    assert done == []
    gate.set()
    await asyncio.gather(waiting[0], waiting[2], waiting[3])
    assert done == [0, 2, 3]
    assert (pool.figures.busy, pool.figures.queued) == (0, 0)
    pool.close()


async def test_who_waits_too_long_for_a_turn_is_refused_and_takes_nobodys() -> None:
    pool, gate = Pool(Terms("few", threads=4, queue=12, wait_seconds=0.01)), threading.Event()
    held = asyncio.ensure_future(pool.run_for("a", gate.wait))
    while pool.figures.busy != 1:
        await asyncio.sleep(0)
    with pytest.raises(OverloadedError, match="for a "):
        await pool.run_for("a", gate.wait)
    with pytest.raises(OverloadedError), pool.shares.held("a", 0.01, lambda: pool.refuse("a")):
        pass
    gate.set()
    assert await held
    with pool.shares.held("a", 60, lambda: pool.refuse("a")):
        pass
    assert await pool.run_for("a", lambda: "again") == "again"
    pool.close()


def figures(server: ServerProcess) -> dict[tuple[str, str], float]:
    text = server.api.get(f"{server.url}/metrics").text
    return {
        (sample.name, sample.labels["pool"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "pool" in sample.labels
    }


@pytest.mark.store("sqlite")
def test_passwords_are_held_against_their_hashes_in_threads_of_their_own(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server()
    server.add_user("ada", password="a long one for ada")
    before = figures(server)
    assert server.http.post("/api/v1/login", json={"user": "ada", "password": "x" * 12}).status_code == 401
    after = figures(server)
    calls = "flow_agent_pool_calls_total"
    assert after[calls, "passwords"] == before[calls, "passwords"] + 1
    assert after[calls, "outside"] == before[calls, "outside"] == 0


def test_nothing_on_the_server_uses_the_threads_that_asyncio_shares() -> None:
    root = Path(agent.server.__file__).parent
    found = {
        (node.attr, file.relative_to(root).as_posix())
        for file in root.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ALLOWED
    }
    assert {(name, file) for name, file in found if file not in ALLOWED[name]} == set()


async def test_a_pool_whose_queue_is_full_refuses_at_once() -> None:
    pool, gate = Pool(Terms("few", threads=1, queue=1, wait_seconds=60)), threading.Event()
    held = [asyncio.ensure_future(pool.run(gate.wait)) for _ in range(2)]
    while (pool.figures.busy, pool.figures.queued) != (1, 1):
        await asyncio.sleep(0)
    with pytest.raises(OverloadedError, match="few"):
        await pool.run(gate.wait)
    gate.set()
    assert await asyncio.gather(*held) == [True, True]
    assert pool.figures.refused == 1
    pool.close()


async def test_who_waits_too_long_for_a_thread_is_refused_and_its_work_never_begins() -> None:
    pool, gate = Pool(Terms("slow", threads=1, queue=9, wait_seconds=0.01)), threading.Event()
    held = asyncio.ensure_future(pool.run(gate.wait))
    while pool.figures.busy != 1:
        await asyncio.sleep(0)
    done: list[str] = []
    with pytest.raises(OverloadedError):
        await pool.run(done.append, "begun")
    gate.set()
    await held
    await pool.run(lambda: None)
    assert done == []
    assert pool.figures.queued == 0
    pool.close()


async def test_a_thread_whose_asker_gave_up_counts_until_it_ends() -> None:
    pool, gate = Pool(Terms("few", threads=1, queue=1, wait_seconds=60)), threading.Event()
    asking = asyncio.ensure_future(pool.run(gate.wait))
    while pool.figures.busy != 1:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert pool.figures.busy == 1
    gate.set()
    await pool.run(lambda: None)
    pool.close()


@pytest.mark.store("sqlite")
def test_a_run_that_is_long_to_plan_holds_up_no_request_that_reads(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server()
    values, name = ", ".join(map(str, range(256))), " || ".join(["matrix.a == 999"] * 300)
    text = (
        f"on: push\njobs:\n  train:\n    runs-on: linux\n    strategy: {{matrix: {{a: [{values}]}}}}\n"
        f"    name: ${{{{ {name} }}}}\n    steps: [{{run: echo}}]\n"
    )
    body = {"flow": {"file": "flow.yml", "text": text}}
    answers: list[httpx.Response] = []
    submitting = threading.Thread(
        target=lambda: answers.append(server.api.post("/runs", json=body, timeout=None))
    )
    assert (
        figures(server)[("flow_agent_pool_calls_total", "plans")] == 0
    )  # and that the token is used is noted
    submitting.start()
    was_seen = False
    while submitting.is_alive():
        was_seen = was_seen or figures(server)[("flow_agent_pool_busy_threads", "plans")] == 1
        assert server.http.get("/readyz").text == "ready\n"
    submitting.join()
    assert was_seen
    assert answers[0].status_code == 201


@pytest.mark.store("sqlite")
def test_a_flow_that_is_long_to_read_is_read_where_long_plans_are_made(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server()
    before = figures(server)[("flow_agent_pool_calls_total", "plans")]
    server.submit(ONE_JOB)
    assert figures(server)[("flow_agent_pool_calls_total", "plans")] == before
    server.submit(ONE_JOB + "# a comment that says little\n" * 20_000)
    assert figures(server)[("flow_agent_pool_calls_total", "plans")] > before
