"""Apps of jobs: ports that a real job on a real agent opens, used through the server; and `kill -9` of everything in between."""

import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from end_to_end.app_words import Visitor, app_of, link_of, visit, wait_for_app
from support.lab import Lab, wait_for
from websockets.exceptions import ConnectionClosed, InvalidStatus

SUPPORT = Path(__file__).parent.parent / "support"
FLOW = """
  serve:
    runs-on: self-hosted
    apps:
      web: {{opens: "/hello?name=ada"}}
    steps:
      - run: |
          {program} $PORT_0 &
          until [ -e {folder}/go ]; do sleep 0.05; done
"""


@pytest.fixture
def run(lab: Lab) -> int:
    """A run whose job serves the app `web`, which is ready."""
    return begin(lab, f"python3 {SUPPORT / 'echo_app.py'}")


def begin(lab: Lab, program: str) -> int:
    lab.add_agent("box")
    run = lab.submit(lab.write_flow(FLOW.format(folder=lab.folder, program=program)))
    wait_for_app(lab, run, "ready")
    return run


def check_unharmed(lab: Lab, run: int) -> None:
    (lab.folder / "go").touch()
    assert lab.wait_for_run(run)["conclusion"] == "success"


@contextmanager
def forwarding(lab: Lab, run: int, *words: str) -> Iterator[str]:
    """`agent run forward` beside the test: the URL that it prints."""
    with lab.beside("run", "forward", str(run), *words, "--format", "json") as process:
        yield json.loads(process.stdout.readline())["url"]


def fetch(url: str, data: bytes | None = None) -> bytes:
    with urllib.request.urlopen(url, data, timeout=60) as answer:
        return bytes(answer.read())


def test_a_local_port_leads_to_an_app_of_a_job(lab: Lab, run: int) -> None:
    app = app_of(lab, run)
    assert (app["name"], app["job"]) == ("web", "serve")
    assert 20000 <= app["port"] < 30000
    with forwarding(lab, run) as url:
        assert json.loads(fetch(f"{url}/hello?name=ada"))["path"] == "/hello?name=ada"
        much = bytes(range(256)) * (16 << 12)  # 16 MiB
        assert fetch(f"{url}/echo", much) == much
    shown = lab.agent("run", "show", str(run)).out
    assert "web" in shown
    assert "ready" in shown
    (lab.folder / "go").touch()
    assert lab.wait_for_run(run)["conclusion"] == "success"
    assert lab.run(run)["jobs"][0]["apps"][0]["state"] == "gone"
    late = lab.agent("run", "forward", str(run))
    assert (late.code, "the app serve/web is gone" in late.err) == (1, True)


def test_a_link_lets_a_browser_in_once_and_its_cookie_is_the_apps_own(lab: Lab, run: int) -> None:
    link = link_of(lab, run)
    with Visitor(lab, link) as visitor, Visitor(lab, link) as late:
        assert visitor.host.endswith(f".localhost:{lab.url.rpartition(':')[2]}")
        entered = visitor.enter()
        assert (entered.status_code, entered.headers["location"]) == (303, "/hello?name=ada")
        (cookie,) = entered.headers.get_list("set-cookie")
        assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
        assert "Domain" not in cookie
        refused = late.enter()
        assert (refused.status_code, late.cookies) == (403, {})
        assert "was used before" in refused.text
        said = visitor.ask("/hello?name=ada", headers={"Authorization": f"Bearer {lab.admin_token}"}).json()
    heard = {name.lower(): value for name, value in said["headers"]}
    assert said["path"] == "/hello?name=ada"
    assert heard["host"] == f"127.0.0.1:{app_of(lab, run)['port']}"
    assert heard["x-forwarded-host"] == visitor.host
    assert heard["x-forwarded-for"] == "127.0.0.1"
    assert "cookie" not in heard
    assert "authorization" not in heard
    assert lab.admin_token not in json.dumps(said)
    assert visitor.cookies["flow-app"] not in json.dumps(said)


def test_bodies_of_any_size_and_streams_go_through(lab: Lab, run: int) -> None:
    much = bytes(range(256)) * (16 << 12)  # 16 MiB
    with visit(lab, run) as visitor:
        assert visitor.ask("/echo", "POST", content=much).content == much
        pieces = (much[start : start + 100_000] for start in range(0, len(much), 100_000))
        assert visitor.ask("/echo", "POST", content=pieces).content == much
        headers = {"Host": visitor.host, "Cookie": f"flow-app={visitor.cookies['flow-app']}"}
        with visitor.http.stream("GET", "/stream", headers=headers) as stream:
            lines = stream.iter_lines()
            assert [next(lines) for _ in range(3)] == ["data: 0", "", "data: 1"]
        wait_for(lambda: "the reader has gone" in lab.lines(run, "serve"), "the app to be told")
        away = visitor.ask("/away")
        assert away.headers["location"] == f"{visitor.origin}/there"
        assert visitor.ask("/cookie").headers["set-cookie"] == "own=1; Path=/"
        own = dict(visitor.ask("/x").json()["headers"])["cookie"]
        assert own == "own=1"


def test_websockets_go_through_message_by_message(lab: Lab) -> None:
    run = begin(lab, f"{sys.executable} {SUPPORT / 'socket_app.py'}")
    with visit(lab, run) as visitor:
        with visitor.open_socket("/", subprotocols=["first", "other"]) as socket:
            assert socket.subprotocol == "first"
            for message in ("héllo", b"\x00\xff" * 500_000, "", b""):
                socket.send(message)
                assert socket.recv(timeout=60) == message
        with visitor.open_socket("/big") as socket:
            assert len(socket.recv(timeout=60)) == 20 << 20
        with visitor.open_socket("/close") as socket, pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=60)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as asked")
        with pytest.raises(InvalidStatus) as refused, visitor.open_socket("/no"):
            pass
        assert (refused.value.response.status_code, refused.value.response.body) == (403, b"no\n")
        with ExitStack() as stack:
            many = [stack.enter_context(visitor.open_socket("/")) for _ in range(40)]
            for number, socket in enumerate(many):
                socket.send(f"{number}")
            assert [socket.recv(timeout=60) for socket in many] == [f"{number}" for number in range(40)]
    check_unharmed(lab, run)


@pytest.mark.parametrize("victim", ["box", "server"])
def test_an_app_survives_the_kill_of_the_daemon_and_of_the_server(lab: Lab, victim: str) -> None:
    run = begin(lab, f"{sys.executable} {SUPPORT / 'socket_app.py'}")
    with visit(lab, run) as visitor:
        with visitor.open_socket("/") as socket:
            lab.kill(victim)
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=60)
        if victim == "server":
            lab.start_server()
            wait_for(lambda: lab.agent_view("box")["status"] == "online", "the agent to come back")
        else:
            page = visitor.ask("/")
            assert page.status_code in (409, 502)
            assert "the job goes on" in page.text
            with pytest.raises(InvalidStatus) as refused, visitor.open_socket("/"):
                pass
            assert refused.value.response.status_code in (409, 502)
            wait_for(lambda: lab.agent_view("box")["status"] != "online", "the server to miss the agent")
            lab.start_agent("box")
        assert app_of(lab, run)["state"] == "ready"
        with visitor.open_socket("/") as socket:  # with the cookie that it had
            socket.send("again")
            assert socket.recv(timeout=60) == "again"
    check_unharmed(lab, run)
