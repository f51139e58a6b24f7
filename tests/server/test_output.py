"""What jobs print, as people see it: a line that is written over moves on a terminal and stays in its last state elsewhere."""

import json
import os
import pty
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from server.vocabulary import (
    PATIENCE_SECONDS,
    ServerProcess,
    TestAgent,
    closing,
    frames,
    journal,
    log,
    read_events,
    step,
)
from support.lab import Done, command_line, run_agent

pytestmark = pytest.mark.store("sqlite")
Agents = Callable[..., TestAgent]
BAR = "".join(f"\r{percent:3d}% ▏{'█' * (percent // 10):10}▏" for percent in range(101))
LAST = f"100% ▏{'█' * 10}▏"
RED = "\x1b[31mred\x1b[0m"


@pytest.fixture
def own(make_server: Callable[..., ServerProcess]) -> ServerProcess:
    return make_server()


def say(server: ServerProcess, *words: str, **environment: str) -> Done:
    return run_agent(
        *words, environment={"AGENT_URL": server.url, "AGENT_TOKEN": server.token, **environment}
    )


class Pty:
    """A terminal of 80 columns, and what has been written on it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.text = ""

    def read_until(self, wanted: str) -> None:
        """Read on until `wanted` has come, after what was wanted before; it fails when it does not come."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while wanted not in self.text:
            ready, _, _ = select.select([self._descriptor], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"{wanted!r} did not come: {self.text!r}"
            try:
                data = os.read(self._descriptor, 65536)
            except OSError:  # the command has ended
                data = b""
            assert data, f"{wanted!r} did not come: {self.text!r}"
            self.text += data.decode("utf-8", "replace")
        self.text = self.text.partition(wanted)[2]


@contextmanager
def on_a_terminal(server: ServerProcess, *words: str) -> Iterator[Pty]:
    ours, theirs = pty.openpty()
    where = {"AGENT_URL": server.url, "AGENT_TOKEN": server.token, "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(
        command_line(*words), stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, **where}
    )
    os.close(theirs)
    try:
        yield Pty(ours)
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_who_watches_is_told_what_stands_on_a_line_that_has_not_ended(
    own: ServerProcess, make_agent: Agents
) -> None:
    own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    agent.ship(assign, journal(assign, step(), log("loading\n\r 10%"), closes=False))
    stream = read_events(own.api, f"/jobs/{assign.job}/events")
    seen = [next(stream) for _ in range(4)]
    assert [(kind, data.get("text")) for _, kind, data in seen[2:]] == [
        ("log", "loading"),
        ("progress", " 10%"),
    ]
    assert seen[3][0] == ""  # no place to go on from
    agent.ship(assign, frames(log("\r 20%")))
    assert next(stream)[2]["text"] == " 20%"
    agent.finish(assign, frames(log("\r100%\n"), closing()))
    assert [data.get("text") for _, kind, data in stream if kind == "log"] == ["100%"]
    kinds = [kind for _, kind, _ in own.events(f"/jobs/{assign.job}/events")]
    assert "progress" not in kinds  # of what is over, only what it was in the end


@pytest.mark.parametrize("words", ["run watch", "run logs --follow", "run logs --job train --follow"])
def test_a_bar_moves_on_a_terminal(own: ServerProcess, make_agent: Agents, words: str) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    agent.ship(assign, journal(assign, step(), log("loading\n"), closes=False))
    with on_a_terminal(own, *words.split(), str(run)) as terminal:
        terminal.read_until("loading")
        for percent in (10, 20, 100):
            agent.ship(assign, frames(log(f"\r{percent:3d}% of it")))
            terminal.read_until(f"{percent:3d}% of it")
        done = step("completed", outcome="success", conclusion="success", seconds=1.5)
        agent.finish(assign, frames(log("\n"), done, closing()))
        own.api.post(f"/runs/{run}/cancel", json={})  # the other job of the flow has no agent
        terminal.read_until("100% of it")


def test_kept_logs_show_the_last_state_and_raw_ones_each_byte(own: ServerProcess, make_agent: Agents) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    printed = f"{RED}\nwindows\r\n{BAR}\nhalf\rHALF"
    done = step("completed", outcome="success", conclusion="success", seconds=1.5)
    agent.finish(assign, journal(assign, step(), log(printed), done))
    shown = say(own, "run", "logs", str(run), "--job", "train")
    lines = [line.removeprefix("  ") for line in shown.out.splitlines()]
    assert lines[1:5] == ["red", "windows", LAST, "HALF"]
    forced = say(own, "run", "logs", str(run), "--job", "train", FORCE_COLOR="1")
    assert f"  {RED}\n" in forced.out
    records = say(own, "run", "logs", str(run), "--job", "train", "--format", "json").records()
    texts = [record["text"] for record in records if record["kind"] == "log"]
    assert texts == [RED, "windows", LAST, "HALF"]
    raw = subprocess.run(
        command_line("run", "logs", str(run), "--job", "train", "--raw"),
        env={**os.environ, "AGENT_URL": own.url, "AGENT_TOKEN": own.token},
        capture_output=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    assert raw.stdout == printed.encode()
    assert own.api.get(f"/jobs/{assign.job}/log").content == printed.encode()


def test_logs_of_a_job_that_runs_are_shown_so_far(own: ServerProcess, make_agent: Agents) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    agent.ship(
        assign, journal(assign, step(), log(f"##[group]Run it\n##[endgroup]\n{BAR}\nhalf"), closes=False)
    )
    shown = say(own, "run", "logs", str(run), "--job", "train")
    assert shown.out.splitlines() == ["● Fit", "  ▸ Run it", f"  {LAST}", "  half"]
    records = say(own, "run", "logs", str(run), "--job", "train", "--format", "json").records()
    assert [(record["kind"], record["step"]) for record in records] == [
        ("step", "fit"),
        *[("log", "fit")] * 4,
    ]
    assert all(isinstance(record["time"], float) and record["time"] > 0 for record in records)


def test_raw_goes_with_neither_follow_nor_json(own: ServerProcess) -> None:
    for more in (["--follow"], ["--format", "json"]):
        assert say(own, "run", "logs", "1", "--raw", *more).code == 2


def test_the_page_of_a_job_shows_lines_in_their_last_state(own: ServerProcess, make_agent: Agents) -> None:
    own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    long = "".join(f"\r{number:9d} of it" for number in range(10_000))
    agent.ship(assign, journal(assign, step(), log(f"{BAR}\nwindows\r\n{long}\n\r 10%\r 20%"), closes=False))
    headers = {"Authorization": f"Bearer {own.token}", "Accept": "text/html"}
    page = own.http.get(f"/status/jobs/{assign.job}", headers=headers).text
    shown = page.partition('<pre id="log"')[2].partition(">")[2].partition("</pre>")[0]
    assert shown.splitlines() == [LAST, "windows", "     9999 of it", " 20%"]


def test_times_say_that_they_are_utc(own: ServerProcess) -> None:
    run = own.submit()
    said = json.loads(say(own, "run", "show", str(run), "--format", "json").out)["created"]
    day, hour = said[:10], said[11:19]
    assert f"{day} {hour} UTC" in say(own, "run", "show", str(run)).out
    assert f"{day} {hour} UTC" in say(own, "run", "list").out
    headers = {"Authorization": f"Bearer {own.token}", "Accept": "text/html"}
    for path in ("/status", f"/status/runs/{run}"):
        assert f"<time>{day} {hour[:5]} UTC</time>" in own.http.get(path, headers=headers).text
