"""Whoever answers over HTTP takes neither memory nor time without end, of the server, the agent or the command line."""

import ast
import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.endless_host import serve_endlessly

import agent
from agent.asking import ask, open_answer, read_content, read_lines
from agent.cli.client import Client
from agent.clock import SystemClock
from agent.daemon.register import RegisterOptions, register
from agent.daemon.state import StateFolder
from agent.errors import AgentError, UnreachableError
from agent.resolve.sources.moves import find_move
from agent.server.people.auth.oidc import OidcClient, OidcSettings
from agent.server.pools import OUTSIDE, Pool
from agent.server.process.asking import ask as ask_from_server
from agent.server.triggers.outside import OutsideRule
from agent.server.triggers.statuses import StatusRequest, post
from agent.spec.resources import Inventory

WITHOUT_END = [
    ("large", 60, "over 1048576 bytes"),
    ("slow", 1, "within 1 s|come to an end"),
    ("head", 1, "within 1 s|come to an end"),
]
# The two places that read answers, and those that hold connections: the command line's, and of stages, which bound what they read
# (tests/job/stages: `test_sending_stages.py`, `test_asking.py`).
ALLOWED = {"asking.py", "server/process/asking.py", "cli/client.py", "job/stages/asking.py"}
ALLOWED |= {
    "job/stages/clients.py",
    "job/stages/actions/http/sender.py",
    "job/stages/actions/kinesis/api.py",
}
ALLOWED |= {"serving_git/relay.py", "server/triggers/public_code.py"}  # hand on to git what comes, in pieces
# What reads, or leads to reading, an answer; names of errors and of facts are free.
READERS = {
    "get",
    "post",
    "put",
    "patch",
    "delete",
    "head",
    "options",
    "request",
    "stream",
    "send",
    "build_request",
}
READERS |= {
    "Client",
    "AsyncClient",
    "HTTPTransport",
    "AsyncHTTPTransport",
    "urlopen",
    "HTTPConnection",
    "HTTPSConnection",
}


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with serve_endlessly() as url:
        yield url


@pytest.mark.parametrize(("kind", "seconds", "said"), WITHOUT_END)
def test_the_server_reads_no_answer_without_end(host: str, kind: str, seconds: float, said: str) -> None:
    with pytest.raises(UnreachableError, match=said):
        asyncio.run(ask_from_server("GET", f"{host}/{kind}", seconds=seconds))


@pytest.mark.parametrize(("kind", "seconds", "said"), WITHOUT_END)
def test_the_agent_reads_no_answer_without_end(host: str, kind: str, seconds: float, said: str) -> None:
    with pytest.raises(UnreachableError, match=said):
        ask("GET", f"{host}/{kind}", answer_seconds=seconds, timeout=60)


def test_a_head_without_end_is_given_up_on_a_connection_that_was_kept_too(host: str) -> None:
    with httpx.Client(base_url=host) as client:
        for _ in range(2):
            assert ask("GET", "/packed", client=client).is_success
        with pytest.raises(UnreachableError, match=f"come to an end \\({host}\\)"):
            ask("GET", "/head", client=client, answer_seconds=1)
        assert ask("GET", "/packed", client=client).is_success


def test_what_is_read_in_pieces_has_as_long_as_it_needs_once_its_head_is_there(host: str) -> None:
    with (
        pytest.raises(UnreachableError, match="come to an end"),
        open_answer("GET", f"{host}/head", head_seconds=0.5),
    ):
        pass
    with open_answer("GET", f"{host}/slow", head_seconds=0.5) as response:
        pieces = response.iter_raw()
        began = time.monotonic()
        while time.monotonic() < began + 0.7:
            assert next(pieces)


def test_the_time_of_an_answer_begins_when_the_request_is_sent(host: str) -> None:
    def chunks() -> Iterator[bytes]:
        began = time.monotonic()
        while time.monotonic() < began + 0.7:
            yield b"x"

    assert ask("POST", f"{host}/packed", content=chunks(), answer_seconds=0.5).is_success


def test_what_unpacks_to_gigabytes_is_not_unpacked(host: str) -> None:
    assert len(ask("GET", f"{host}/packed").content) < 1 << 20
    assert len(asyncio.run(ask_from_server("GET", f"{host}/packed", seconds=20)).content) < 1 << 20


def test_a_line_without_end_is_given_up(host: str) -> None:
    with httpx.stream("GET", f"{host}/line") as response, pytest.raises(UnreachableError, match="line"):
        list(read_lines(response))


def test_an_error_without_end_is_given_up(host: str) -> None:
    with httpx.stream("GET", f"{host}/large") as response, pytest.raises(UnreachableError):
        read_content(response)


def test_a_host_of_statuses_that_answers_for_ever_is_given_up(host: str) -> None:
    request = StatusRequest(f"{host}/large", {}, {"state": "success"})
    with pytest.raises(UnreachableError):
        asyncio.run(post(request, OutsideRule(("127.0.0.0/8",)).check(request.url)))


def test_a_sign_in_provider_that_answers_for_ever_is_given_up(host: str) -> None:
    client = OidcClient(OidcSettings(f"{host}/large", "id", "secret"), SystemClock(), Pool(OUTSIDE))
    with pytest.raises(AgentError):
        asyncio.run(client.authorization_url(redirect_uri="", state="", nonce="", verifier=""))


def test_a_server_that_answers_a_registration_for_ever_is_given_up(host: str, tmp_path: Path) -> None:
    inventory = Inventory("box", "Linux", "24.04", "X64", "6.8.0", "a cpu", 8, 1 << 34)
    with pytest.raises(UnreachableError):
        register(StateFolder(tmp_path), RegisterOptions(f"{host}/large", "token", "box"), inventory)


def test_the_command_line_follows_no_event_without_end(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.cli.client._EVENT_RETRIES", 0)
    with pytest.raises(UnreachableError):
        list(Client(host, "token").events("/line"))


def test_the_command_line_waits_for_no_head_without_end(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.cli.client._EVENT_RETRIES", 0)
    monkeypatch.setattr("agent.cli.client._EVENT_TIMEOUT_SECONDS", 0.5)
    with pytest.raises(UnreachableError):
        list(Client(host, "token").events("/head"))


def test_of_a_repository_that_may_have_moved_only_the_address_is_read(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_move(f"{host}/large") == ""
    monkeypatch.setattr("agent.resolve.sources.moves._SECONDS", 0.5)
    assert find_move(f"{host}/head") == ""


def test_answers_over_http_are_read_in_one_place_on_each_side() -> None:
    root = Path(agent.__file__).parent
    found = {
        f"{name}:{node.lineno}"
        for file in root.rglob("*.py")
        if (name := file.relative_to(root).as_posix()) not in ALLOWED
        for node in ast.walk(ast.parse(file.read_text()))
        if _reads_answers(node)
    }
    assert not found, "use agent.asking or agent.server.process.asking, which bound what they read"


def _reads_answers(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        modules = ("httpx", "urllib.request", "http.client", "requests", "aiohttp", "urllib3")
        return node.module in modules and any(alias.name in READERS for alias in node.names)
    if isinstance(node, ast.Import):
        return any(
            alias.name in ("urllib.request", "http.client", "requests", "aiohttp") for alias in node.names
        )
    is_name = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    return is_name and node.value.id == "httpx" and node.attr in READERS  # type: ignore[attr-defined]


def test_the_command_lines_own_connection_reads_nothing_whole() -> None:
    """Its requests go through `ask`, and what it streams is read in pieces."""
    file = Path(agent.__file__).parent / "cli" / "client.py"
    read = [
        node.attr
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in {"request", "read", "iter_lines", "iter_text", "aread"}
    ]
    assert not read


@pytest.mark.parametrize(
    "program",
    [
        (
            "import asyncio, contextlib\n"
            "from agent.errors import UnreachableError\n"
            "from agent.server.process.asking import ask\n"
            "with contextlib.suppress(UnreachableError):\n"
            "    asyncio.run(ask('GET', 'http://127.0.0.1:9', seconds=5))\n"
        ),
        "from agent.job.stages.clients import make_client\nmake_client()\n",
        "from agent.server.apps.http import _Pool\n_Pool(None, None)\n",
    ],
    ids=["server", "stages", "apps"],
)
def test_who_asks_with_asyncio_searches_for_no_sniffio_at_each_lock(program: str) -> None:
    """httpcore would, through all of the path: it is more than half of what a request costs."""
    said = "import importlib.util, sys\nprint(sys.modules.get('sniffio', 0), importlib.util.find_spec('sniffio'))\n"
    done = subprocess.run([sys.executable, "-c", program + said], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "None"]
