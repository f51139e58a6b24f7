"""`agent flow submit`: what was checked is what is sent, and a secret of the run is the run's."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from server.vocabulary import PATIENCE_SECONDS, ServerProcess, TestAgent, journal
from support.commands import clients_closed
from support.git import make_repository

from agent.cli.main import run_command
from agent.spec.outcome import Conclusion

pytestmark = pytest.mark.store("sqlite")
Say = Callable[..., str]
READS_CODE = "on: workflow_dispatch\njobs: {it: {runs-on: linux, steps: [{uses: actions/checkout@v4}]}}\n"
CALLS = "on: workflow_dispatch\njobs: {call: {uses: ./inner.yml}}\n"
INNER = "on: workflow_call\njobs: {work: {runs-on: linux, steps: [{run: echo hello}]}}\n"
FLOW = """\
on: workflow_dispatch
jobs: {train: {runs-on: linux, steps: [{run: 'echo ${{ secrets.X }}'}]}}
"""


@pytest.fixture
def say(server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> Iterator[Say]:
    """Run a command of `agent`: its output, or (with another `code` than 0) its errors."""

    def run(*words: object, code: int = 0) -> str:
        given = [*map(str, words)]
        given += [] if "--url" in given else ["--url", server.url, "--token", server.token]
        done = run_command(given)
        out, err = capsys.readouterr()
        assert done == code, err
        return err if code else out

    with clients_closed():
        yield run


class Pipes:
    """Named pipes: each is read to its end once; whoever opens one again waits in vain."""

    def __init__(self) -> None:
        self._writers: list[threading.Thread] = []

    def put(self, file: Path, text: str) -> None:
        os.mkfifo(file)
        writer = threading.Thread(target=file.write_text, args=(text,), daemon=True)
        writer.start()
        self._writers.append(writer)

    def are_read(self) -> bool:
        for writer in self._writers:
            writer.join(PATIENCE_SECONDS)
        return not any(writer.is_alive() for writer in self._writers)


def test_each_file_of_a_submission_is_read_once(say: Say, server: ServerProcess, tmp_path: Path) -> None:
    pipes = Pipes()
    lock = "version = 1\nflows = []\n"
    for name, text in (("flow.yml", CALLS), ("inner.yml", INNER), ("flow.lock", lock)):
        pipes.put(tmp_path / name, text)
    say("flow", "submit", tmp_path / "flow.yml", "--source", "none")
    assert pipes.are_read()
    ((text, called),) = server.sql("SELECT text, called FROM runs ORDER BY id DESC LIMIT 1")
    assert text == CALLS
    assert INNER.replace("\n", "\\n") in called


def test_a_flow_is_stored_with_those_that_it_calls(say: Say, server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "nightly.yml").write_text(CALLS)
    say("flow", "store", tmp_path / "nightly.yml", code=2)
    (tmp_path / "inner.yml").write_text(INNER)
    say("flow", "store", tmp_path / "nightly.yml")
    run = json.loads(say("flow", "start", "nightly", "--format", "json"))["run"]
    assert [job["name"] for job in server.run(run)["jobs"]] == ["call / work"]


def test_a_flow_that_is_stored_is_read_once(say: Say, server: ServerProcess, tmp_path: Path) -> None:
    pipes = Pipes()
    pipes.put(tmp_path / "nightly.yml", INNER.replace("workflow_call", "workflow_dispatch"))
    say("flow", "store", tmp_path / "nightly.yml")
    assert pipes.are_read()


def test_a_submission_is_checked_as_a_whole_before_anything_is_sent(
    say: Say, server: ServerProcess, tmp_path: Path
) -> None:
    repository = make_repository(tmp_path / "code", {"flow.yml": CALLS, "inner.yml": INNER})
    (repository.folder / "inner.yml").write_text(INNER.replace("workflow_call", "push"))
    before = server.sql("SELECT count(*) FROM snapshots"), server.sql("SELECT count(*) FROM runs")
    said = say("flow", "submit", repository.folder / "flow.yml", code=2)
    assert "workflow_call" in said
    assert (server.sql("SELECT count(*) FROM snapshots"), server.sql("SELECT count(*) FROM runs")) == before


def test_a_secret_of_the_command_line_is_the_runs_and_not_the_projects(
    say: Say,
    make_server: Callable[..., ServerProcess],
    server: ServerProcess,
    make_agent: Callable[..., TestAgent],
    tmp_path: Path,
) -> None:
    put = server.api.put("/secrets/X", json={"value": "the project's", "refs": ["main"]})
    assert put.status_code == 200
    before = server.api.get("/secrets").json()
    file = tmp_path / "flow.yml"
    file.write_text(FLOW.replace("secrets.X", "secrets.NOBODY"))
    started = json.loads(
        say("flow", "submit", file, "--source", "none", "--secret", "X=v", "--format", "json")
    )
    assert ["NOBODY is not set" in warning for warning in started["warnings"]] == [True]
    file.write_text(FLOW)
    say("flow", "submit", file, "--source", "none", "--secret", "X=the run's")
    assert server.api.get("/secrets").json() == before
    agent = make_agent(server).connect()
    while (assign := agent.take()).spec.secrets != ("X",):
        agent.finish(assign, journal(assign))
    assert agent.open(assign, "X") == "the run's"
    agent.finish(assign, journal(assign))


def test_a_submission_prints_where_people_look_at_its_run(
    say: Say, make_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = make_server(public_url="https://flows.example.org")
    address = (server.data / "address").read_text().strip()
    file = tmp_path / "flow.yml"
    file.write_text(INNER.replace("workflow_call", "workflow_dispatch"))
    where = ("--url", address, "--token", server.token)
    said = say("flow", "submit", file, "--source", "none", *where)
    assert said.splitlines()[0] == "run 1 submitted: https://flows.example.org/status/runs/1"
    started = json.loads(say("flow", "submit", file, "--source", "none", "--format", "json", *where))
    assert started == {"run": 2, "url": "https://flows.example.org/status/runs/2", "warnings": []}
    listed = json.loads(say("run", "list", "--format", "json", *where))
    shown = json.loads(say("run", "show", "1", "--format", "json", *where))
    assert [run["url"] for run in (*listed, shown)] == [
        f"https://flows.example.org/status/runs/{number}" for number in (2, 1, 1)
    ]
    assert "https://flows.example.org/status/runs/1" in say("run", "show", "1", *where)
    say("flow", "store", file, *where)
    assert "https://flows.example.org/status/runs/3" in say("flow", "start", "flow", *where)


def test_a_run_that_is_over_is_not_being_cancelled(
    say: Say, make_server: Callable[..., ServerProcess], make_agent: Callable[..., TestAgent]
) -> None:
    server = make_server()
    where = ("--url", server.url, "--token", server.token)
    run = server.submit()
    agent = make_agent(server).connect()
    assign = agent.take()
    assert "is being cancelled" in say("run", "cancel", run, *where)
    assert "is being cancelled" in say("run", "cancel", run, *where), "it still is"
    agent.finish(assign, journal(assign, conclusion=Conclusion.CANCELLED))
    for words in ((), ("--force",), ("--format", "json")):
        said = say("run", "cancel", run, *words, *where, code=1)
        assert f"run {run} is over already: cancelled" in said
    assert server.api.post(f"/runs/{run}/cancel", json={}).status_code == 409


def test_of_a_history_only_what_is_new_is_sent(say: Say, server: ServerProcess, tmp_path: Path) -> None:
    large = os.urandom(300_000)
    code = make_repository(tmp_path / "code", {"large.bin": large, "flow.yml": READS_CODE}, tags=["v1"])
    code.git("remote", "add", "origin", f"https://git.example.org/acme/{tmp_path.name}.git")
    flow = code.folder / "flow.yml"

    def submit() -> tuple[list[str], dict[str, object]]:
        known = {digest for (digest,) in server.sql("SELECT digest FROM snapshots")}
        say("flow", "submit", flow)
        ((source,),) = server.sql("SELECT source FROM runs ORDER BY id DESC LIMIT 1")
        rows = server.sql("SELECT digest, size_bytes FROM snapshots")
        new = {digest: size for digest, size in rows if digest not in known}
        found = json.loads(source)
        assert all(new[digest] < 20_000 for digest in found["bundles"][1:] if digest in new)
        return [digest for digest in found["bundles"] if digest in new], found

    sent, first = submit()
    assert (len(sent), first["tip"]) == (1, code.head)
    sent, _ = submit()
    assert sent == []
    (code.folder / "new.txt").write_text("new")
    sent, changed = submit()
    assert (len(sent), changed["commit"]) == (1, code.head)
    assert changed["tip"] != code.head
    code.commit({"more.txt": "more"}, tags=["v2"])
    sent, committed = submit()
    assert (len(sent), len(committed["bundles"])) == (1, 2)  # type: ignore[arg-type]
    assert committed["bundles"][0] == first["bundles"][0]  # type: ignore[index]
