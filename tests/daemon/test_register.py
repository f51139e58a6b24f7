"""Registration against a real HTTP server: what is sent, what is kept, and what each failure says and leaves."""

import contextlib
import json
import os
import pty
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.fake_server import SERVER_ID
from support.nvml import FakeGpu, build_nvml, nvml_env
from support.wire import AGENT, INVENTORY

from agent.daemon.register import RegisterOptions, register
from agent.daemon.state import StateFolder
from agent.errors import AgentError, RefusedError, UnreachableError, UsageError
from agent.seal.identity import PublicIdentity, load_identity


@dataclass
class Answer:
    """What the server says, and what it was told."""

    status: int = 201
    body: bytes = json.dumps({"agent": AGENT, "name": "box", "server": SERVER_ID}).encode()
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, dict]] = field(default_factory=list)
    url: str = ""

    def refuse(self, status: int, detail: str, hint: str = "") -> None:
        self.status = status
        self.body = json.dumps({"title": "no", "status": status, "detail": detail, "hint": hint}).encode()


@pytest.fixture
def server() -> Iterator[Answer]:
    answer = Answer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer.requests.append((self.path, json.loads(body)))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *arguments: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    answer.url = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield answer
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / "state")


def request_to(server: Answer, **changes: object) -> RegisterOptions:
    return replace(
        RegisterOptions(server.url, "the-token", "box", labels=("fast-disk",), max_jobs=2), **changes
    )


def files_of(state: StateFolder) -> list[str]:
    return sorted(path.name for path in state.path.iterdir() if path.name != "lock")


def test_the_public_halves_and_the_inventory_go_out_and_the_registration_is_kept(server, state):
    registration = register(state, request_to(server, group="lab", is_ephemeral=True), INVENTORY)
    ((path, body),) = server.requests
    identity = load_identity(state.identity)
    assert path == "/api/v1/agents/register"
    assert PublicIdentity.from_json(body["identity"]) == identity.public
    assert body["labels"] == ["self-hosted", "linux", "x64", "fast-disk"]
    assert (body["token"], body["group"], body["max_jobs"]) == ("the-token", "lab", 2)
    assert (body["ephemeral"], body["replace"]) == (True, False)
    assert registration == state.load_registration()
    assert (registration.agent, registration.server, registration.url) == (AGENT, SERVER_ID, server.url)


def test_no_private_half_and_no_token_is_readable_by_others_or_kept(server, state):
    register(state, request_to(server), INVENTORY)
    for path in (state.path, state.identity):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in (state.registration, *state.identity.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "the-token" not in path.read_text()


def test_a_registered_machine_is_not_registered_again_by_mistake(server, state):
    register(state, request_to(server), INVENTORY)
    before = state.registration.read_bytes()
    with pytest.raises(RefusedError, match="registered already") as caught:
        register(state, request_to(server), INVENTORY)
    assert "--replace" in caught.value.hint
    assert state.registration.read_bytes() == before
    assert len(server.requests) == 1


def test_replace_takes_new_keys_and_a_failed_one_keeps_the_old(server, state):
    register(state, request_to(server), INVENTORY)
    first = load_identity(state.identity).public
    server.refuse(403, "the registration token has expired")
    with pytest.raises(RefusedError):
        register(state, request_to(server, is_replacing=True), INVENTORY)
    assert load_identity(state.identity).public == first
    server.status, server.body = 201, Answer.body
    register(state, request_to(server, is_replacing=True), INVENTORY)
    assert load_identity(state.identity).public != first
    assert server.requests[-1][1]["replace"] is True


@pytest.mark.parametrize(
    ("status", "detail", "kind"),
    [
        (401, "the registration token is not known", RefusedError),
        (403, "the registration token has expired", RefusedError),
        (403, "the registration token was used up", RefusedError),
        (409, "an agent named 'box' is registered already", RefusedError),
        (422, "'max_jobs' is not a number of jobs", RefusedError),
        (503, "the database is away", UnreachableError),
    ],
)
def test_a_refusal_is_one_sentence_with_a_hint_and_leaves_nothing(server, state, status, detail, kind):
    server.refuse(status, detail)
    with pytest.raises(kind) as caught:
        register(state, request_to(server), INVENTORY)
    assert detail in str(caught.value)
    assert caught.value.hint or status == 422
    assert caught.value.where == server.url
    assert files_of(state) == []


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>welcome</html>"),
        (404, b"<html>not found</html>"),
        (404, b'{"message": "no such path"}'),
        (201, b"[]"),
        (201, b'{"agent": "../../x", "name": "box", "server": "s"}'),
        (201, json.dumps({"agent": AGENT, "name": "", "server": "s"}).encode()),
        (500, b"[1]"),
    ],
)
def test_an_answer_that_is_not_a_flow_agent_servers_is_named_so(server, state, status, body):
    server.status, server.body = status, body
    with pytest.raises(AgentError, match="not a flow-agent server"):
        register(state, request_to(server), INVENTORY)
    assert files_of(state) == []


def test_a_redirect_names_the_address_to_use(server, state):
    server.status, server.headers = 301, {"Location": "https://flows.example.org/"}
    with pytest.raises(RefusedError, match=r"elsewhere, to https://flows\.example\.org/"):
        register(state, request_to(server), INVENTORY)


def test_a_server_that_is_not_there_is_unreachable(state):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(UnreachableError, match="can't be reached"):
            register(state, RegisterOptions(url, "the-token", "box"), INVENTORY)
    assert files_of(state) == []


def test_https_to_a_server_without_tls_is_not_safe(server, state):
    url = server.url.replace("http:", "https:")
    with pytest.raises(UnreachableError, match="not safe"):
        register(state, request_to(server, url=url), INVENTORY)
    assert files_of(state) == []


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"url": "flows.example.org"}, "--url"),
        ({"url": "ftp://flows.example.org"}, "--url"),
        ({"url": "http://"}, "--url"),
        ({"url": "https://ada:pw@flows.example.org"}, "--url"),
        ({"token": " "}, "--token"),
        ({"max_jobs": 0}, "--max-jobs"),
        ({"labels": ("two words",)}, "--labels"),
    ],
)
def test_a_request_that_can_not_be_right_is_refused_before_anything_is_done(server, state, changes, where):
    with pytest.raises(UsageError) as caught:
        register(state, request_to(server, **changes), INVENTORY)
    assert caught.value.where == where
    assert not state.path.exists()
    assert not server.requests


def test_a_running_agent_is_not_registered_again_under_its_feet(server, state):
    with state.hold_lock(), pytest.raises(RefusedError, match="already running"):
        register(state, request_to(server), INVENTORY)
    assert not server.requests


def test_a_state_that_can_not_be_made_is_a_sentence(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AgentError, match="something else than a folder on the way"):
        register(StateFolder(tmp_path / "file" / "state"), request_to(server), INVENTORY)


def register_by_command(
    server: Answer, state: StateFolder, *options: str, typed: str | None = None, **environment: str
) -> str:
    """`agent register`, and what it printed; on a terminal, where `typed` is given, else without one."""
    command = [sys.executable, "-m", "agent", "register", "--url", server.url, "--token", "t", *options]
    env = {**os.environ, "AGENT_STATE": str(state.path), "NO_PROXY": "*", **environment}
    if typed is None:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr
    master, terminal = pty.openpty()
    os.write(master, typed.encode())
    with subprocess.Popen(command, env=env, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        printed = b""
        with contextlib.suppress(OSError):  # Linux: the other end is closed
            while piece := os.read(master, 4096):
                printed += piece
        assert process.wait() == 0, printed.decode()
    os.close(master)
    return printed.decode()


def sent(server: Answer) -> dict[str, Any]:
    return server.requests[-1][1]


@pytest.mark.parametrize(
    ("typed", "lends"), [("y\n", True), ("Yes\n", True), ("\n", False), ("n\n", False), ("\x04", False)]
)
def test_on_a_terminal_the_owner_is_asked_whether_the_machine_is_ubuntu_latest(
    server: Answer, state: StateFolder, typed: str, lends: bool
) -> None:
    printed = register_by_command(server, state, typed=typed)
    assert "Lend this machine to their jobs? [y/N]" in printed
    assert ("ubuntu-latest" in sent(server)["labels"]) is lends
    assert ("ubuntu-latest" in state.load_registration().labels) is lends


def test_nobody_is_asked_without_a_terminal_or_when_it_was_said(server: Answer, state: StateFolder) -> None:
    assert "[y/N]" not in register_by_command(server, state)
    assert "ubuntu-latest" not in sent(server)["labels"]
    for option, lends in (("--ubuntu-latest", True), ("--no-ubuntu-latest", False)):
        assert "[y/N]" not in register_by_command(server, state, "--replace", option, typed="")
        assert ("ubuntu-latest" in sent(server)["labels"]) is lends
    register_by_command(server, state, "--replace", "--labels", "Ubuntu-Latest", "--ubuntu-latest", typed="")
    assert [label for label in sent(server)["labels"] if label.lower() == "ubuntu-latest"] == [
        "Ubuntu-Latest"
    ]


def test_a_machine_takes_as_many_jobs_as_it_has_gpus_unless_its_owner_says_otherwise(
    server: Answer, state: StateFolder, tmp_path: Path
) -> None:
    none = register_by_command(server, state)
    assert (sent(server)["max_jobs"], "It takes 1 job at a time" in none) == (1, True)
    two = nvml_env(build_nvml(tmp_path / "nvml"), [FakeGpu(), FakeGpu()])
    printed = register_by_command(server, state, "--replace", **two)
    assert (sent(server)["max_jobs"], "It takes 2 jobs at a time" in printed) == (2, True)
    register_by_command(server, state, "--replace", "--max-jobs", "5", **two)
    assert sent(server)["max_jobs"] == 5
    register_by_command(server, state, "--replace", "--ephemeral", **two)
    assert sent(server)["max_jobs"] == 1, "its one job has all of the machine"
