"""`--project` and AGENT_PROJECT say the same, in every command that is about a project."""

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.commands import clients_closed

from agent.cli.command_tree import Command, read_commands
from agent.cli.main import run_command

PROJECT = "a vision"
# What each command wants besides; FLOW is a flow file, FOLDER the one that it is in.
WORDS = {
    "flow submit": "FLOW --source none",
    "flow store": "FLOW",
    "flow start": "retrain",
    "flow delete": "retrain",
    "flow enable": "retrain",
    "flow disable": "retrain",
    "flow deploy": "STAGES",
    "flow undeploy": "retrain",
    "flow records": "retrain",
    "cache delete": "pip",
    "dataset show": "faces",
    "dataset lineage": "faces",
    "dataset create": "faces",
    "dataset push": "FOLDER faces",
    "dataset pull": "faces FOLDER/new",
    "dataset delete": "faces:1",
    "tag add": "good --dataset faces:1",
    "tag delete": "good --dataset faces:1",
    "secret set": "KEY",
    "secret delete": "KEY",
    "variable set": "KEY value",
    "variable delete": "KEY",
    "server user set-role": "ada viewer",
    "server repository add": "https://example.com/acme/lab",
    "server repository sync": "acme/lab",
    "server repository remove": "acme/lab",
    "server webhook add": "nightly --flow retrain",
}
# These name one thing that has a project of its own, or narrow down what is for all projects unless it is said.
NOT_ABOUT_ONE = {
    "server delivery show",
    "server delivery approve",
    "server delivery repeat",
    "server webhook remove",
    "server token create",
    "server user token",
    "server audit",
}
COMMANDS = {
    " ".join(command.path): command
    for command in read_commands()
    if "--project" in command.options and " ".join(command.path) not in NOT_ABOUT_ONE
}


class Recorder(ThreadingHTTPServer):
    """A server that keeps what it was asked for, and knows nothing."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Recorder

    def _answer(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps({"detail": "there is nothing here"}).encode()
        self.send_response(404)
        self.send_header("Content-Type", "application/problem+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - names of http.server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that it has there
        """Nobody wants to read it."""


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(recorder: Recorder, words: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The first thing that the command asks for."""
    monkeypatch.setattr("sys.stdin", io.StringIO("a value\n"))
    recorder.asked.clear()
    with clients_closed():
        assert run_command([*words, "--url", recorder.url, "--token", "t"]) != 2, "wrong use"
    return recorder.asked[0]


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_is_about_the_project_of_the_flag_else_of_the_environment(
    command: Command, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = " ".join(command.path)
    assert "AGENT_PROJECT" in command.options["--project"].meaning
    flow = tmp_path / "flow.yml"
    flow.write_text("on: push\njobs:\n  a:\n    runs-on: linux\n    steps: [{run: echo}]\n")
    stages = tmp_path / "stages.yml"
    stages.write_text("name: a\nstages:\n  - {name: in, action: manual}\n")
    places = {"FLOW": flow, "STAGES": stages, "FOLDER": tmp_path}
    said = WORDS.get(name, "")
    for word, place in places.items():
        said = said.replace(word, str(place))
    words = [*command.path, *said.split()]
    assert PROJECT not in ask(recorder, words, monkeypatch)
    flagged = ask(recorder, [*words, "--project", PROJECT], monkeypatch)
    assert any(
        form in flagged for form in ("project=a%20vision", "project=a+vision", "/projects/a%20vision/")
    )
    monkeypatch.setenv("AGENT_PROJECT", PROJECT)
    assert ask(recorder, words, monkeypatch) == flagged
