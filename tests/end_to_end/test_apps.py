"""Apps of jobs: ports that a real job on a real agent opens, used through the server; and `kill -9` of everything in between."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from end_to_end.app_words import Visitor, app_of, link_of, visit, wait_for_app
from support.lab import Lab, wait_for

ECHO = Path(__file__).parent.parent / "support" / "echo_app.py"
FLOW = """
  serve:
    runs-on: self-hosted
    apps:
      web: {{opens: "/hello?name=ada"}}
    steps:
      - run: |
          python3 {echo} $PORT_0 &
          until [ -e {folder}/go ]; do sleep 0.05; done
"""


@pytest.fixture
def run(lab: Lab) -> int:
    """A run whose job serves the app `web`, which is ready."""
    lab.add_agent("box")
    run = lab.submit(lab.write_flow(FLOW.format(folder=lab.folder, echo=ECHO)))
    wait_for_app(lab, run, "ready")
    return run


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
