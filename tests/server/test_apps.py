"""Apps of jobs: who is let in, by what, and what of ours an app never sees. The agents are ones of the protocol."""

import html
import re
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from server.vocabulary import PATIENCE_SECONDS, ServerProcess, TestAgent, frames, journal, wait_for
from server.vocabulary import closing as closed
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from agent.errors import UsageError
from agent.journal.format import AppChanged
from agent.server.process.apps_origin import AppsOrigin, make_label, read_apps_origin, read_label
from agent.spec.apps import AppState
from agent.wire import agent_side
from agent.wire import messages as m

Servers = Callable[..., ServerProcess]
Agents = Callable[..., TestAgent]
pytestmark = pytest.mark.store("sqlite")
PASSWORD = "correct horse battery"
FLOW = """\
on: workflow_dispatch
jobs:
  train:
    runs-on: linux
    apps:
      lab: {port: 8888, opens: "/lab?token=x"}
      board: 6006
      tree: {opens: "/tree?token={token}"}
    steps:
      - run: serve
"""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"


def changed(place: int, name: str, state: AppState, **more: Any) -> AppChanged:
    return AppChanged(place, name, state, 1_800_000_001_000, 8888, **more)


class Job:
    """A job with two apps that an agent has begun with."""

    def __init__(self, server: ServerProcess, agent: TestAgent, **more: Any) -> None:
        self.server, self.agent = server, agent
        self.run = server.submit(FLOW, **more)
        self.assign = agent.take()
        server.wait_for_job(self.run, status="running")

    @property
    def id(self) -> str:
        return self.assign.job

    def link(self, app: str = "lab", token: str = "") -> httpx.Response:
        with closing(self.server.as_user(token or self.server.token)) as api:
            return api.post(f"/jobs/{self.id}/apps/{app}/link")

    def apps(self) -> list[dict[str, Any]]:
        return list(self.server.job(self.run)["apps"])

    def answer_one(self, data: bytes = ANSWER) -> bytes:
        """As the app: take a connection, answer its request, hang up; gives what came."""
        wish = self.agent.hear(m.Attach)
        assert wish.app
        self.agent.protocol.attach_opened(wish.session)
        self.agent.flush()
        came = b""
        while b"\r\n\r\n" not in came:
            came += self.agent.hear(m.AttachInput, session=wish.session).data
        self.agent.protocol.attach_output(wish.session, 1, data)
        self.agent.protocol.attach_ended(wish.session, 0)
        self.agent.flush()
        return came


@pytest.fixture
def job(server: ServerProcess, make_agent: Agents) -> Job:
    return begin(server, make_agent)


def begin(server: ServerProcess, make_agent: Agents, **more: Any) -> Job:
    begin.count += 1  # type: ignore[attr-defined]
    name = f"apps-{begin.count}"  # type: ignore[attr-defined]
    return Job(server, make_agent(server, name=name, token=server.registration()).connect(), **more)


begin.count = 0  # type: ignore[attr-defined]


class Guest:
    """A browser at an app's origin."""

    def __init__(self, server: ServerProcess, link: str) -> None:
        parts = urlsplit(link)
        self.link, self.host = link, parts.netloc
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.address = (server.data / "address").read_text().strip()
        self.cookie = ""

    def ask(self, path: str, method: str = "GET", **headers: str) -> httpx.Response:
        given = {
            "Host": self.host,
            "Accept": "text/html",
            **{name.replace("_", "-"): text for name, text in headers.items()},
        }
        if self.cookie:
            given.setdefault("Cookie", self.cookie)
        return httpx.request(method, self.address + path, headers=given, timeout=PATIENCE_SECONDS)

    def enter(self) -> httpx.Response:
        answer = self.ask(self.link.removeprefix(self.origin))
        self.cookie = answer.headers.get("set-cookie", "").partition(";")[0]
        return answer


def guest_of(job: Job, app: str = "lab", token: str = "") -> Guest:
    answer = job.link(app, token)
    assert answer.status_code == 201, answer.text
    guest = Guest(job.server, answer.json()["url"])
    assert guest.enter().status_code == 303
    return guest


def test_the_states_of_apps_come_with_the_journal_and_end_with_the_job(job: Job) -> None:
    assert [(app["name"], app["port"], app["state"]) for app in job.apps()] == [
        ("lab", 8888, "waiting"),
        ("board", 6006, "waiting"),
        ("tree", 0, "waiting"),
    ]
    records = (
        changed(0, "lab", AppState.WAITING),
        changed(0, "lab", AppState.READY),
        changed(1, "board", AppState.WAITING, message="nothing listens on port 6006, after 2 minutes"),
    )
    job.agent.ship(job.assign, journal(job.assign, *records, closes=False))
    wait_for(lambda: job.apps()[0]["state"] == "ready", "the app to be ready")
    assert job.apps()[1]["message"] == "nothing listens on port 6006, after 2 minutes"
    job.server.restart_after_kill()
    assert [app["state"] for app in job.apps()] == ["ready", "waiting", "waiting"]
    job.agent.connect(held=(m.HeldJob(job.id, job.assign.lease, 1 << 20, is_running=True),))
    offset = job.agent.hear(m.Ack, job=job.id).offset
    assert offset == job.agent.protocol.next_offset(job.id, job.assign.lease)
    job.agent.finish(job.assign, frames(closed()))
    assert [app["state"] for app in job.apps()] == ["gone", "gone", "gone"]


def test_a_journal_that_says_the_impossible_of_an_app_ends_its_job_and_no_other(job: Job) -> None:
    job.agent.ship(
        job.assign, journal(job.assign, changed(7, "lab", AppState.READY), closes=False), wait=False
    )
    ended = job.server.wait_for_job(job.run, status="completed")
    assert ended["failure_kind"] == "infrastructure"
    assert "the job has no app 7" in ended["message"]


@pytest.mark.parametrize(
    ("role", "status", "word"),
    [
        ("viewer", 403, "needs the role runner"),
        ("runner", 403, "or to have started its run by hand"),
        ("maintainer", 201, ""),
        ("", 404, "no job"),
    ],
)
def test_who_may_attach_to_a_job_is_let_in_to_its_apps_and_nobody_else(
    job: Job, role: str, status: int, word: str
) -> None:
    token = job.server.add_user(f"app-{role or 'nobody'}", role=role)
    answer = job.link(token=token)
    assert (answer.status_code, word in answer.text) == (status, True), answer.text


def test_whoever_started_the_run_is_let_in_and_the_audit_log_has_it(
    server: ServerProcess, make_agent: Agents
) -> None:
    token = server.add_user("app-starter", role="runner")
    agent = make_agent(server, name="apps-starter", token=server.registration()).connect()
    with closing(server.as_user(token)) as api:
        body = {"flow": {"file": "flow.yml", "text": FLOW}}
        run = api.post("/runs", json=body).json()["run"]
        assign = agent.take()
        server.wait_for_job(run, status="running")
        assert api.post(f"/jobs/{assign.job}/apps/board/link").status_code == 201
        assert api.post(f"/jobs/{assign.job}/apps/nothing/link").status_code == 404
    entries = server.api.get("/audit", params={"limit": 5}).json()["entries"]
    (entry,) = [entry for entry in entries if entry["detail"].get("run") == run and "app" in entry["detail"]]
    assert (entry["actor"], entry["detail"]["app"]) == ("app-starter", "board")
    assert entry["action"] == "POST /api/v1/jobs/{job}/apps/{app}/link"


def test_a_link_is_good_once_and_for_its_own_app(job: Job) -> None:
    lab, board = (Guest(job.server, job.link(app).json()["url"]) for app in ("lab", "board"))
    code = parse_qs(urlsplit(board.link).query)["code"][0]
    assert lab.ask(f"/.flow/enter?code={code}&to=/").status_code == 403
    assert board.enter().headers["location"] == "/"
    assert board.ask(f"/.flow/enter?code={code}&to=/").status_code == 403
    assert lab.ask("/.flow/enter?code=fa_lnk_guess&to=/").status_code == 403
    elsewhere = parse_qs(urlsplit(lab.link).query)["code"][0]
    assert lab.ask(f"/.flow/enter?code={elsewhere}&to=//evil.example").headers["location"] == "/"


def test_the_token_of_an_app_is_sealed_to_its_agent_and_stands_in_links(job: Job) -> None:
    link = job.link("tree").json()["url"]
    token = job.agent.open(job.assign, "app-token/2")
    assert parse_qs(urlsplit(link).query)["to"] == [f"/tree?token={token}"]
    assert job.agent.open(job.assign, "app-token/0") != token
    assert token not in job.server.api.get(f"/jobs/{job.id}").text


def test_the_cookie_of_one_app_opens_no_other_and_no_page_of_ours(job: Job) -> None:
    guest = guest_of(job)
    other = Guest(job.server, job.link("board").json()["url"])
    other.cookie = guest.cookie
    assert other.ask("/", Accept="*/*").status_code == 403
    name, _, value = guest.cookie.partition("=")
    assert name == "flow-app"
    for cookie in (guest.cookie, f"flow-session={value}"):
        assert httpx.get(f"{job.server.url}/api/v1/user", headers={"Cookie": cookie}).status_code == 401
    with closing(job.server.as_user(value)) as api:
        assert api.get("/user").status_code == 401


def test_the_app_is_told_nothing_that_lets_anybody_in(job: Job) -> None:
    guest = guest_of(job)
    headers = {"Cookie": f"a=1; {guest.cookie}; b=2", "Authorization": f"Bearer {job.server.token}"}
    with httpx.Client(timeout=PATIENCE_SECONDS) as client:
        asked = _in_background(
            lambda: client.get(
                f"{guest.address}/x?y=1", headers={"Host": guest.host, "Origin": guest.origin, **headers}
            )
        )
        came = job.answer_one()
        assert asked().text == "hello"
    head = came.decode().lower()
    assert head.startswith("get /x?y=1 http/1.1\r\nhost: 127.0.0.1:8888\r\n")
    assert "cookie: a=1; b=2\r\n" in head
    assert "origin: http://127.0.0.1:8888\r\n" in head
    assert f"x-forwarded-host: {guest.host}\r\n" in head
    assert "authorization" not in head
    assert guest.cookie.partition("=")[2].lower() not in head


def test_nothing_of_ours_answers_on_an_apps_host(job: Job) -> None:
    guest = Guest(job.server, job.link().json()["url"])
    token = {"Authorization": f"Bearer {job.server.token}", "Accept": "*/*"}
    for path in ("/api/v1/user", "/status", "/healthz", "/install.sh"):
        assert guest.ask(path, **token).status_code == 403
    guest.host = f"nothing.localhost:{guest.host.rpartition(':')[2]}"
    assert guest.ask("/status", **token).status_code == 403


def test_who_was_not_let_in_is_led_to_our_own_page_and_from_there_back(job: Job) -> None:
    guest = Guest(job.server, job.link().json()["url"])
    led = guest.ask("/tree/a%20b?c=1")
    assert led.status_code == 303
    page = urlsplit(led.headers["location"])
    assert page.path == f"/apps/{job.id}/lab"
    assert parse_qs(page.query) == {"to": ["/tree/a%20b?c=1"]}
    stranger = job.server.http.get(led.headers["location"], headers={"Accept": "text/html"})
    assert stranger.headers["location"].startswith("/login?next=/apps/")
    with closing(job.server.as_user(job.server.token)) as api:
        from_elsewhere = {
            "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
        }
        back = api.get(led.headers["location"], headers=from_elsewhere)
    assert back.status_code == 200
    (link,) = re.findall(r'<a href="(http[^"]+)">', back.text)
    guest.link = html.unescape(link)
    assert guest.enter().headers["location"] == "/tree/a%20b?c=1"
    entry = job.server.api.get("/audit", params={"limit": 3}).json()["entries"]
    assert [row["action"] for row in entry].count("GET /apps/{job}/{app}") == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors", "Sec_Fetch_Dest": "empty"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"},
    ],
)
def test_a_page_of_another_origin_another_apps_included_can_do_nothing_with_an_app(
    job: Job, headers: dict[str, str]
) -> None:
    guest = guest_of(job)
    answer = guest.ask("/", "POST", **headers)
    assert answer.status_code == 403
    assert guest.ask("/", **headers).status_code == 403
    given = {"Cookie": guest.cookie, **{name.replace("_", "-"): text for name, text in headers.items()}}
    address = urlsplit(guest.address)
    with (
        socket.create_connection((address.hostname, address.port)) as line,
        pytest.raises(InvalidStatus, match="403"),
        connect(f"ws://{guest.host}/socket", sock=line, additional_headers=given, proxy=None),
    ):
        pass


def test_a_visit_ends_with_the_token_that_it_was_asked_for_with_and_with_its_persons_role(job: Job) -> None:
    server = job.server
    tokens = [server.add_user(f"app-leaver-{number}", role="maintainer") for number in range(2)]
    guests = [guest_of(job, token=token) for token in tokens]
    for guest in guests:
        asked = _in_background(lambda guest=guest: guest.ask("/"))
        job.answer_one()
        assert asked().text == "hello"
    (made,) = server.api.get("/users/app-leaver-0/tokens").json()["tokens"]
    assert server.api.delete(f"/users/app-leaver-0/tokens/{made['id']}").status_code == 204
    assert server.api.delete("/projects/default/members/app-leaver-1").status_code == 204

    for guest in guests:
        wait_for_refusal(job, guest)


def wait_for_refusal(job: Job, guest: Guest) -> None:
    """What was found out of a visit holds for some seconds: until then the app answers."""
    is_over = threading.Event()

    def answer() -> None:
        while not is_over.is_set():
            try:
                frame = job.agent.socket.recv(timeout=0.1)  # type: ignore[union-attr]
            except TimeoutError:
                continue
            said = (
                job.agent.protocol.receive_text
                if isinstance(frame, str)
                else job.agent.protocol.receive_bytes
            )
            for message in said(frame):
                if isinstance(message, m.Attach):
                    job.agent.protocol.attach_opened(message.session)
                    job.agent.protocol.attach_output(message.session, 1, ANSWER)
                    job.agent.protocol.attach_ended(message.session, 0)
            job.agent.flush()

    answering = threading.Thread(target=answer)
    answering.start()
    try:
        wait_for(lambda: guest.ask("/", Accept="*/*").status_code in (403, 404), "the visit to end")
    finally:
        is_over.set()
        answering.join()


def test_an_app_that_is_not_there_yet_is_a_page_that_looks_again(job: Job) -> None:
    guest = guest_of(job)
    asked = _in_background(lambda: guest.ask("/"))
    wish = job.agent.hear(m.Attach)
    job.agent.protocol.attach_ended(wish.session, None, "nothing listens on port 8888, the app 'lab'")
    job.agent.flush()
    page = asked()
    assert page.status_code == 502
    assert "nothing listens on port 8888" in page.text
    assert 'http-equiv="refresh"' in page.text
    job.agent.disconnect()
    wait_for(lambda: "not connected" in guest.ask("/").text, "the agent to be missed")


def test_an_agent_from_before_apps_is_named(
    server: ServerProcess, make_agent: Agents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_side.m, "PROTOCOL_VERSIONS", (1, 2, 3))
    job = begin(server, make_agent)
    assert "is too old for apps of jobs" in guest_of(job).ask("/").text


def test_a_server_without_an_address_for_apps_says_what_leads_there_instead(
    make_server: Servers, make_agent: Agents
) -> None:
    for settings, word in (
        ({"public_url": "https://flows.example.org"}, "agent run forward"),
        ({"apps_url": "no"}, "lets nobody use apps"),
    ):
        server = make_server(**settings)
        server.http.base_url = (server.data / "address").read_text().strip()
        server.api.base_url = f"{server.http.base_url}/api/v1"
        server.url = str(server.http.base_url)
        answer = begin(server, make_agent).link()
        assert (answer.status_code, word in answer.text) == (403, True), answer.text


def test_over_https_the_cookie_is_secure_and_bound_to_the_apps_host(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server(public_url="https://flows.example.org", apps_url="https://*.apps.example.net")
    server.url = (server.data / "address").read_text().strip()
    server.api.base_url = f"{server.url}/api/v1"
    server.http.base_url = server.url
    job = begin(server, make_agent)
    guest = Guest(server, job.link().json()["url"])
    assert guest.origin == f"https://lab-0-{job.id.removeprefix('job_')}.apps.example.net"
    cookie = guest.enter().headers["set-cookie"]
    assert cookie.startswith("__Host-flow-app=")
    assert "Secure" in cookie.split("; ")
    assert guest.ask("/", Origin=f"http://{guest.host}").status_code == 403


@pytest.mark.parametrize(
    ("setting", "own", "origin"),
    [
        ("", "http://127.0.0.1:8420", AppsOrigin("http", "localhost", "8420")),
        ("", "http://[::1]:8420", AppsOrigin("http", "localhost", "8420")),
        ("", "https://localhost", AppsOrigin("https", "localhost", "")),
        ("", "https://flows.example.org", None),
        ("", "http://0.0.0.0:8420", None),
        ("no", "http://127.0.0.1:8420", None),
        ("https://*.apps.example.org/", "https://example.org", AppsOrigin("https", "apps.example.org", "")),
        ("http://*.Apps.example.org:88", "http://x", AppsOrigin("http", "apps.example.org", "88")),
    ],
)
def test_the_origin_of_apps(setting: str, own: str, origin: AppsOrigin | None) -> None:
    assert read_apps_origin(setting, own) == origin


@pytest.mark.parametrize(
    "setting",
    [
        "https://apps.example.org",
        "*.example.org",
        "https://*",
        "ftp://*.x",
        "https://*.org",
        "https://*.example.org",
    ],
)
def test_an_origin_that_is_none_or_that_holds_our_own_pages_is_refused(setting: str) -> None:
    with pytest.raises(UsageError, match="AGENT_APPS_URL"):
        read_apps_origin(setting, "https://flows.example.org")


def test_labels_are_hosts_and_lead_back_to_their_app() -> None:
    job = "job_0123456789abcdefghjk"
    for name, label in (
        ("lab", "lab-7-"),
        ("Ünï Code_x", "n-code-x-7-"),
        ("---", "7-"),
        ("x" * 90, "x" * 30 + "-7-"),
    ):
        made = make_label(job, 7, name)
        assert made == f"{label}0123456789abcdefghjk"
        assert read_label(made) == (job, 7)
        origin = AppsOrigin("http", "localhost", "8420")
        assert origin.find_label(f"{made.upper()}.localhost:9999") == made
    assert origin.find_label("x.localhost") == ""
    assert origin.find_label("localhost:8420") is None
    assert origin.find_label("127.0.0.1") is None


def _in_background(work: Callable[[], httpx.Response]) -> Callable[[], httpx.Response]:
    pool = ThreadPoolExecutor(1)
    future = pool.submit(work)
    pool.shutdown(wait=False)
    return lambda: future.result(PATIENCE_SECONDS)
