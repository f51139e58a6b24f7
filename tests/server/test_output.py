"""What jobs print, as people see it: a line that is written over moves on a terminal and stays in its last state elsewhere."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import pytest
from server.toolkit_job import Job
from server.vocabulary import (
    ONE_JOB,
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
from support.commands import clients_closed
from support.lab import Done, command_line, run_agent

from agent.cli.main import run_command
from agent.journal.format import Summary
from agent.spec.run_names import name_run

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

    def read_to_end(self) -> str:
        """All that is still to come."""
        with suppress(OSError):  # that is how a terminal ends
            while data := os.read(self._descriptor, 65536):
                self.text += data.decode("utf-8", "replace")
        return self.text


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


def finish_run(server: ServerProcess, agent: TestAgent, **more: str) -> int:
    """A run of a branch's code, of a flow with a name, that is over."""
    names = "".join(f"{key.replace('_', '-')}: {value}\n" for key, value in more.items())
    job = "jobs:\n  train:\n    runs-on: linux\n    steps:\n      - run: echo hello\n"
    ref = f"refs/heads/feature/{'long-' * 12}name"
    source = {"kind": "git", "url": "https://git.lab/a/b", "ref": ref, "commit": "1" * 40}
    run = server.submit(f"{names}on: workflow_dispatch\n{job}", source=source)
    assign = agent.take()
    agent.finish(assign, journal(assign))
    server.wait_for_job(run, status="completed")
    return run


def test_a_list_of_runs_says_each_run_once_with_all_that_tells_it_from_others(
    own: ServerProcess, make_agent: Agents
) -> None:
    agent = make_agent(own).connect()
    plain, named = finish_run(own, agent, name="Fit"), finish_run(own, agent, name="Fit", run_name="again")
    listed = say(own, "run", "list").out
    title, *rows = (re.split(r"  +", line.rstrip()) for line in listed.splitlines())
    assert title == ["run", "name", "flow", "state", "branch", "event", "by", "created", "took", "url"]
    assert [row[:3] for row in rows] == [
        [str(named), name_run(named), "Fit: again"],
        [str(plain), name_run(plain), "Fit"],
    ]
    _, _, _, state, branch, event, actor, created, took, url = rows[1]
    assert (state, branch, event) == ("success", f"feature/{'long-' * 12}name", "workflow_dispatch")
    assert actor == own.run(plain)["actor"] != ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", created)
    assert re.fullmatch(r"\d+\.\ds", took)
    assert url == f"{own.url}/status/runs/{plain}"
    with on_a_terminal(own, "run", "list") as terminal:
        lines = terminal.read_to_end().splitlines()
    assert len(lines) == 3
    assert all(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) <= 80 for line in lines), lines
    assert all(word in lines[2] for word in ("Fit", "success", "…"))


def test_who_submits_and_follows_is_told_the_address_of_the_runs_page(
    own: ServerProcess, make_agent: Agents, tmp_path: Path
) -> None:
    file = tmp_path / "flow.yml"
    file.write_text(ONE_JOB)
    agent = make_agent(own).connect()
    words = ("flow", "submit", str(file), "--source", "none", "--follow")
    with on_a_terminal(own, *words) as terminal:
        terminal.read_until(f"run 1 submitted: {own.url}/status/runs/1")
        assign = agent.take()
        agent.finish(assign, journal(assign))


def test_a_summary_keeps_its_colours_where_they_are_wanted_and_nowhere_else(
    own: ServerProcess, make_agent: Agents
) -> None:
    run = own.submit(ONE_JOB)
    agent = make_agent(own).connect()
    assign = agent.take()
    agent.finish(assign, journal(assign, Summary(0, f"{RED}\n\x1b[2Jplain\n")))
    assert "  red\n  plain\n" in say(own, "run", "show", str(run)).out
    assert f"  {RED}\n  plain\n" in say(own, "run", "show", str(run), FORCE_COLOR="1").out
    with on_a_terminal(own, "run", "show", str(run)) as terminal:
        assert RED in terminal.read_to_end()


def test_the_servers_log_says_that_its_times_are_utc() -> None:
    program = "import logging; from agent.server.process.logs import set_up_logs; set_up_logs('text'); logging.warning('hello')"
    before = int(time.time())
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env={**os.environ, "TZ": "Asia/Tokyo"},
        capture_output=True,
        text=True,
        check=True,
    )
    said, level, *_ = done.stderr.split()
    assert (said[-1], level) == ("Z", "WARNING")
    assert before <= datetime.fromisoformat(said).timestamp() <= time.time()


LISTS = {
    "run list": True,
    "run show 1": True,
    "artifact list 1": True,
    "dataset list": True,
    "dataset show numbers": True,
    "dataset lineage numbers:1": False,
    "tag list": True,
    "secret list": True,
    "variable list": False,
    "cache list": True,
    "flow list": True,
    "server agent list": True,
    "server agent show box": True,
    "server user list": True,
    "server project list": True,
    "server webhook list": True,
    "server audit": True,
}  # the commands that show what a server has, and whether moments are among it


def test_in_every_list_a_moment_says_its_zone_and_no_milliseconds(
    own: ServerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def tell(*words: str) -> str:
        with clients_closed():
            code = run_command([*words, "--url", own.url, "--token", own.token])
        said = capsys.readouterr()
        assert code == 0, said.err
        return said.out

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("x")
    jobs = ONE_JOB[ONE_JOB.index("jobs:") :]
    (tmp_path / "nightly.yml").write_text(f"on: {{schedule: [{{cron: '0 3 * * *'}}]}}\n{jobs}")
    job = Job(own, "box")
    own.put_on(job.run, "refs/heads/main")
    key = {"key": "a-cache", "version": "a" * 64}
    url = job.cache("CreateCacheEntry", **key).json()["signed_upload_url"]
    assert own.http.put(url, content=b"x", headers={"x-ms-blob-type": "BlockBlob"}).status_code == 201
    assert job.cache("FinalizeCacheEntryUpload", **key, size_bytes="1").json()["ok"]
    job.end()
    own.set_secret("KEY", "x")
    for words in (
        ("artifact", "upload", "1", str(tmp_path / "data" / "file")),
        ("dataset", "push", str(tmp_path / "data"), "numbers", "--create"),
        ("tag", "add", "good", "--run", "1"),
        ("flow", "store", str(tmp_path / "nightly.yml")),
        ("server", "webhook", "add", "hook", "--flow", "nightly"),
        ("server", "user", "create", "bob"),
        ("server", "user", "disable", "bob"),
        ("server", "project", "create", "old"),
        ("server", "project", "archive", "old"),
    ):
        tell(*words)
    for words, has_moments in LISTS.items():
        shown = tell(*words.split())
        assert not re.search(r"\d{4}-\d\d-\d\dT|\d\d:\d\d\.\d", shown), f"{words}: {shown}"
        assert has_moments is (re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", shown) is not None), words


def test_logs_of_a_run_that_was_cancelled_before_it_began_say_so(own: ServerProcess) -> None:
    run = own.submit()
    assert say(own, "run", "cancel", str(run)).code == 0
    done = say(own, "run", "logs", str(run))
    assert (done.code, done.out) == (0, "")
    assert "the run ended before a job of it had begun" in done.err
