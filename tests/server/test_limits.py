"""No client takes the server: connections, heads, bodies and files have bounds, an address cannot shut out another."""

import contextlib
import resource
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from server.vocabulary import ServerProcess, TestAgent, wait_for
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from agent.server.http.bodies import Bodies
from agent.server.http.connection_limits import Doorkeeper
from agent.server.pools import OverloadedError
from agent.server.process.client_groups import group_of
from agent.server.process.problems import TooManyError

Servers = Callable[..., ServerProcess]
Agents = Callable[..., TestAgent]

pytestmark = pytest.mark.store("sqlite")  # what is tested here stands before any store
HEAD = b"POST /api/v1/runs HTTP/1.1\r\nHost: here\r\n"
NEIGHBOUR = "127.0.0.2"  # another address of this machine


@contextlib.contextmanager
def dial(server: ServerProcess, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), 20, (source, 0)) as client:
        yield client


def read_all(client: socket.socket) -> bytes:
    """What the server says until it hangs up."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while data := client.recv(1 << 16):
            said += data
    return said


def ask(server: ServerProcess, source: str) -> bytes:
    with dial(server, source) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        return read_all(client)


def dial_as_agent(server: ServerProcess, source: str = "127.0.0.1") -> ClientConnection:
    """The websocket of an agent that says nothing yet."""
    url = server.url.replace("http", "ws") + "/api/v1/agent"
    return connect(url, proxy=None, source_address=(source, 0))


def test_websockets_that_prove_nothing_shut_out_no_other_address(make_server: Servers) -> None:
    server = make_server(limits={"handshake_seconds": 600})
    with contextlib.ExitStack() as stack:
        # What one address may have is a smaller number: it is refused, and a reset may overtake the refusal, which the
        # client takes for an error of its own now and then.
        with contextlib.suppress(WebSocketException, OSError, AssertionError):
            for _ in range(300):
                stack.enter_context(dial_as_agent(server))
        stack.enter_context(dial_as_agent(server, NEIGHBOUR))


def test_agents_that_have_proved_themselves_may_all_come_from_one_address(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server(limits={"connections_of_stranger": 2})
    agents = [make_agent(server, name=f"box-{number}").connect() for number in range(8)]
    assert all(agent.socket is not None for agent in agents)


def test_people_who_have_shown_a_good_token_may_all_come_from_one_address(make_server: Servers) -> None:
    server = make_server(limits={"connections_of_stranger": 2})
    request = f"GET /api/v1/runs HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {server.token}\r\n\r\n"
    server.http.close()
    server.api.close()
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            client = stack.enter_context(dial(server))
            client.sendall(request.encode())
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")


def test_before_proof_an_agent_says_no_more_than_it_needs_to(make_server: Servers) -> None:
    server = make_server(limits={"deadlines": {"message_bytes_before_proof": 1000}})
    with dial_as_agent(server) as stranger:
        stranger.send("x" * 2000)
        wait_for(lambda: stranger.close_code or _listen(stranger))
        assert stranger.close_code == 1009


def _listen(client: ClientConnection) -> bool:
    with contextlib.suppress(TimeoutError, Exception):
        client.recv(timeout=0.1)
    return False


def test_an_agent_may_send_large_messages_once_it_has_proved_itself(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server(limits={"deadlines": {"message_bytes_before_proof": 500}})
    agent = make_agent(server, labels=[f"label-{number}" for number in range(100)]).connect()
    wait_for(lambda: server.api.get("/agents").json()["agents"][0]["status"] == "online")
    assert agent.socket is not None


def test_half_requests_leave_room_and_files_for_everybody_else(make_server: Servers) -> None:
    server = make_server(limits={"connections": 40, "deadlines": {"head_seconds": 600}})
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            with contextlib.suppress(ConnectionError):
                stack.enter_context(dial(server)).sendall(HEAD)
        assert ask(server, NEIGHBOUR).startswith(b"HTTP/1.1 200")
        refused = ask(server, "127.0.0.1")
        assert not refused or refused.startswith(b"HTTP/1.1 503")


def test_connections_are_bounded_in_all_however_many_addresses_they_come_from(make_server: Servers) -> None:
    server = make_server(limits={"connections": 12, "deadlines": {"head_seconds": 600}})
    server.http.close()
    server.api.close()
    with contextlib.ExitStack() as stack:
        for number in range(1, 13):
            stack.enter_context(dial(server, f"127.0.1.{number}")).sendall(HEAD)
        wait_for(lambda: not ask(server, NEIGHBOUR).startswith(b"HTTP/1.1 200"), "no room in all")
    wait_for(lambda: ask(server, NEIGHBOUR).startswith(b"HTTP/1.1 200"), "room again")


def test_a_server_without_a_file_left_goes_on_when_there_are_some(make_server: Servers) -> None:
    server = make_server(limits={"connections": 10_000, "connections_of_stranger": 10_000})
    assert ask(server, "127.0.0.1").startswith(b"HTTP/1.1 200")
    before = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (40, before[1]))
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(dial(server)).sendall(HEAD)
        wait_for(lambda: "no connection can be accepted for now" in server.log.read_text())
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, before)
    assert ask(server, "127.0.0.1").startswith(b"HTTP/1.1 200")
    assert server.log.read_text().count("no connection can be accepted") == 1
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (HEAD, 408),
        (HEAD + b"Content-Length: 10\r\n\r\n12345", 408),
        (HEAD + b"X: " + b"x" * 3_000_000, 431),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nX: " + b"x" * 3_000_000, 431),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 3_000_000, 431),
    ],
    ids=["half a head", "half a body", "a head without end", "trailers without end", "a chunk's extension"],
)
def test_who_does_not_come_to_an_end_is_let_go(make_server: Servers, said: bytes, status: int) -> None:
    deadlines = {"head_seconds": 0.5, "body_seconds": 0.5, "head_bytes": 20_000}
    server = make_server(limits={"deadlines": deadlines})
    authorised = said.replace(b"Host: here", f"Authorization: Bearer {server.token}\r\nHost: here".encode())
    with dial(server) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(authorised)
        answer = read_all(client)
        # Who is still sending may miss the answer: the reset overtakes it.
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()) or (status == 431 and not answer)


def test_a_body_whose_answer_is_out_does_not_go_on_for_ever(make_server: Servers) -> None:
    server = make_server(limits={"deadlines": {"linger_seconds": 0.5, "body_seconds": 600}})
    with dial(server) as client:
        client.sendall(b"POST /api/v1/runs HTTP/1.1\r\nHost: here\r\nContent-Length: 99999999\r\n\r\n")
        assert read_all(client).startswith(b"HTTP/1.1 401 ")


def test_a_client_that_reads_nothing_is_let_go(make_server: Servers) -> None:
    server = make_server(limits={"deadlines": {"unread_seconds": 0.5}})
    with dial(server) as client:
        ask_much = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: here\r\n\r\n" * 200_000
        with pytest.raises(ConnectionError):
            client.sendall(ask_much)


@pytest.mark.parametrize("path", ["/hooks/github/nobody", "/hooks/gitlab/nobody", "/hooks/nobody"])
def test_the_body_for_a_webhook_that_is_not_there_is_not_read(server: ServerProcess, path: str) -> None:
    with dial(server) as client:
        head = f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Length: 24000000\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 403 ")


def test_bodies_in_memory_are_bounded_for_each_address(make_server: Servers) -> None:
    server = make_server(limits={"bodies_of_client_bytes": 100_000})
    refused = server.api.post("/projects", content=b"x" * 200_000)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    for number in range(3):  # what was answered is not held any more
        assert server.api.post("/projects", content=b"x" * 60_000).status_code == 400, number


def test_bodies_in_memory_are_bounded_in_all() -> None:
    bodies = Bodies(100, 60)
    requests: list[dict[str, Any]] = [{"client": (f"192.0.2.{number}", 1)} for number in range(3)]
    bodies.take(requests[0], 60)
    with pytest.raises(TooManyError):
        bodies.take({"client": ("192.0.2.0", 2)}, 1)
    bodies.take(requests[1], 40)
    with pytest.raises(OverloadedError):
        bodies.take(requests[2], 1)
    bodies.release(requests[0])
    bodies.take(requests[2], 60)


def test_behind_a_proxy_an_address_is_the_clients(make_server: Servers) -> None:
    limits = {"connections_of_stranger": 2, "deadlines": {"body_seconds": 600}}
    server = make_server(limits=limits, trusted_proxies="127.0.0.1")

    def begin(client: socket.socket, name: str) -> None:
        head = f"POST /api/v1/agents/register HTTP/1.1\r\nHost: here\r\nX-Forwarded-For: {name}\r\n"
        client.sendall(head.encode() + b"Content-Length: 10\r\n\r\n")

    with contextlib.ExitStack() as stack:
        refused = [stack.enter_context(dial(server)) for _ in range(2)]
        for client in refused:
            begin(client, "203.0.113.5")

        def one_more(name: str) -> bytes:
            with dial(server) as client:
                client.settimeout(1)
                begin(client, name)
                client.sendall(b"{}")
                with contextlib.suppress(TimeoutError):
                    return client.recv(1 << 16)
            return b""

        wait_for(lambda: one_more("203.0.113.5").startswith(b"HTTP/1.1 429 "))
        with dial(server) as other:
            begin(other, "203.0.113.6")
            other.sendall(b"0123456789")
            assert other.recv(1 << 16).startswith(b"HTTP/1.1 4")


def test_a_place_is_free_again_when_its_connection_has_gone() -> None:
    keeper = Doorkeeper(8, 2)
    first: Any = keeper.enter("192.0.2.1", is_proxy=False)
    assert keeper.enter("192.0.2.1", is_proxy=False) is not None
    assert keeper.enter("192.0.2.1", is_proxy=False) is None
    keeper.leave(first)
    second: Any = keeper.enter("192.0.2.1", is_proxy=False)
    second.prove()
    assert keeper.enter("192.0.2.1", is_proxy=False) is not None


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", "-"),
        ("testclient", "testclient"),
    ],
)
def test_one_subscriber_is_one_client(address: str, group: str) -> None:
    assert group_of(address) == group
