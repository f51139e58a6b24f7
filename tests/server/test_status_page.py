"""The status page: what it shows, to whom, and that nothing of a job's acts in it. The last tests need a real browser."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from server.vocabulary import (
    PATIENCE_SECONDS,
    ServerProcess,
    TestAgent,
    closing,
    frames,
    journal,
    log,
    step,
    wait_for,
)
from support.balancer import free_port

from agent.journal.format import Summary
from agent.server.web.text import plain_text
from agent.wire import messages as m

Servers = Callable[..., ServerProcess]
Agents = Callable[..., TestAgent]
PASSWORD = "correct horse battery"
SCRIPT = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
TERMINAL = (
    "\x1b]8;;javascript:window.hacked=1\x07link\x1b]8;;\x07 \x1b]52;c;aGFja2Vk\x07"
    " \x1b[31mred\x1b[0m \u202egnp.exe\u202c \x00\x9b31m"
)
HOSTILE_FLOW = """\
name: "NAME"
on: workflow_dispatch
jobs:
  train:
    name: "NAME"
    runs-on: linux
    steps:
      - run: echo hello
""".replace("NAME", SCRIPT.replace('"', "'"))


def run_hostile(server: ServerProcess, agent: TestAgent) -> int:
    """A run whose every word tries to be more than a word."""
    run = server.submit(HOSTILE_FLOW)
    assign = agent.take()
    records = (
        replace(step("running"), name=TERMINAL),
        log(f"{SCRIPT}\n{TERMINAL}\n</pre>{SCRIPT}\n"),
        Summary(0, f"# {SCRIPT}\n[a](javascript:window.hacked=1)\n{TERMINAL}"),
        step("completed", outcome="success", conclusion="success", seconds=1.5),
    )
    agent.finish(assign, journal(assign, *records, message=TERMINAL))
    return run


@pytest.fixture
def shown(make_server: Servers, make_agent: Agents) -> tuple[ServerProcess, int]:
    server = make_server()
    run = run_hostile(server, make_agent(server, name="box-1").connect())
    waiting = server.submit(HOSTILE_FLOW.replace("linux", "[linux, no-such-label]"))
    wait_for(lambda: "no-such-label" in server.job(waiting)["waiting"], "the reason")
    return server, run


def pages(server: ServerProcess, run: int) -> dict[str, httpx.Response]:
    job = server.job(run)["id"]
    paths = ("/status", f"/status/runs/{run}", f"/status/jobs/{job}")
    headers = {"Authorization": f"Bearer {server.token}", "Accept": "text/html"}
    return {path: server.http.get(path, headers=headers) for path in paths}


def test_pages_escape_all_that_jobs_and_people_say(shown: tuple[ServerProcess, int]) -> None:
    for path, page in pages(*shown).items():
        assert page.status_code == 200, page.text
        assert "<img" not in page.text, path
        assert page.text.count("<script") == 1, path  # our own
        assert not set(page.text) & set("\x1b\x00\x9b\u202e"), path
        assert 'href="javascript' not in page.text, path
        policy = page.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-frame-options"] == "DENY"


def test_the_pages_say_what_runs_what_waits_and_why(shown: tuple[ServerProcess, int]) -> None:
    server, run = shown
    found = pages(server, run)
    overview = found["/status"].text
    assert "box-1" in overview
    assert "success" in overview
    assert "no-such-label" in overview  # why it waits
    assert "red" in found[f"/status/jobs/{server.job(run)['id']}"].text


def test_the_page_of_a_job_shows_its_output_wherever_the_log_is_and_says_when_there_is_none(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server()
    agent = make_agent(server).connect()
    talks, is_silent = server.submit(), server.submit()
    words = "".join(f"line {n}\n" for n in range(10_000))
    for records in ([log(words[place : place + 50_000]) for place in range(0, len(words), 50_000)], []):
        assign = agent.take()
        agent.finish(assign, journal(assign, *records))

    def page(run: int) -> str:
        return pages(server, run)[f"/status/jobs/{server.job(run)['id']}"].text

    waiting = server.submit()
    wait_for(lambda: server.job(waiting)["id"], "the job")
    for is_archived in (False, True):
        if is_archived:
            server.archive_journals()
            assert server.journals() == {}
        assert "line 9800\nline 9801" in page(talks)
        assert "line 9999" in page(talks)
        assert "line 9799" not in page(talks)
        assert "It printed nothing." in page(is_silent)
    assert "Nothing yet." in page(waiting)
    server.sql("UPDATE archives SET state = 'gone'")
    assert "The log is gone" in page(talks)


def test_a_page_says_when_it_shows_the_end_of_a_log_only(make_server: Servers, make_agent: Agents) -> None:
    server = make_server()
    agent = make_agent(server).connect()
    run = server.submit()
    assign = agent.take()
    many = "".join(f"line {number}\n" for number in range(300))
    bars = "".join(f"\router {number}\n\r inner {number}\x1b[A" for number in range(500)) + "\n\n"
    agent.finish(assign, journal(assign, log(many), log(bars)))
    page = pages(server, run)[f"/status/jobs/{assign.job}"].text
    assert "of which the last 200 lines" in page
    assert "outer 499\n inner 499" in page
    assert "outer 498" not in page


def test_a_slash_at_the_end_of_an_address_leads_to_its_page(make_server: Servers) -> None:
    headers = {"Accept": "text/html"}
    slashed = make_server().http.get("/status/runs/4/", headers=headers)
    assert (slashed.status_code, slashed.headers["location"]) == (303, "/status/runs/4")


def test_pages_are_for_those_who_may_see_the_project(make_server: Servers) -> None:
    server = make_server()
    run = server.submit()
    stranger = server.http.get("/status", headers={"Accept": "text/html"})
    assert (stranger.status_code, stranger.headers["location"]) == (303, "/login?next=/status")
    made = server.api.post("/users", json={"name": "nobody", "kind": "service"})
    assert made.is_success, made.text
    token = server.api.post("/users/nobody/tokens", json={}).json()["token"]
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/html"}
    assert f"/status/runs/{run}" not in server.http.get("/status", headers=headers).text
    assert server.http.get(f"/status/runs/{run}", headers=headers).status_code == 404
    assert server.http.get("/status?project=default", headers=headers).status_code == 404


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("text/html;q=0.5, application/json;q=0.4", True),
        ("*/*", False),
        ("", False),
        ("application/problem+json", False),
        ("application/json, text/html;q=0.5", False),
        ("text/html;q=0", False),
        ("text/html;q=x", False),
    ],
)
def test_errors_are_pages_for_browsers_and_problems_for_programs(
    server: ServerProcess, accept: str, is_page: bool
) -> None:
    headers = {"Accept": accept, "Authorization": f"Bearer {server.token}"}
    for path, status in (
        ("/nowhere", 404),
        ("/api/v1/runs/999999", 404),
        ("/hooks/x", 405),
        ("/api/v1/runs?x=1", 400),
    ):
        answer = server.http.get(path, headers=headers)
        assert answer.status_code == status
        media = "text/html; charset=utf-8" if is_page else "application/problem+json"
        assert answer.headers["content-type"] == media
    assert "Allow" in server.http.get("/hooks/x", headers=headers).headers
    posted = server.http.post("/nowhere", headers=headers)
    assert posted.headers["content-type"] == "application/problem+json"


def test_the_root_is_a_page_for_browsers_and_a_product_for_programs(server: ServerProcess) -> None:
    assert server.http.get("/").json()["product"] == "flow-agent"
    answer = server.http.get("/", headers={"Accept": "text/html,*/*"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/status")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;https://evil.example\x07here\x1b]8;;\x1b\\", "here"),
        ("\x1b]52;c;aGk=\x07", ""),
        ("bold\x1b(B\x1b[m, plain", "bold, plain"),
        ("a\x1b]0;a title that does not end\nb", "a\nb"),
        ("\x1bP1;2q\x1b\\after", "after"),
        ("a\u202eb\u2066c\x00d\re", "a\ufffdb\ufffdc\ufffdd\ufffde"),
        ("one\r\ntwo\tthree", "one\ntwo\tthree"),
        ("\u00e4 \u4e2d \U0001f600 \u05d0", "\u00e4 \u4e2d \U0001f600 \u05d0"),
    ],
)
def test_a_text_keeps_its_words_and_loses_its_tricks(text: str, shown: str) -> None:
    assert plain_text(text) == shown
    assert plain_text(5) == 5


def open_signed_in(browser: Any, server: ServerProcess, **more: Any) -> Any:
    server.add_user("ada", role="viewer", password=PASSWORD)
    page = browser.new_context(base_url=server.url, **more).new_page()
    page.set_default_timeout(PATIENCE_SECONDS * 1000)
    page.goto("/")
    page.fill("input[name=user]", "ada")
    page.fill("input[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url("**/status")
    return page


@pytest.mark.enable_socket
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_nothing_hostile_runs_and_the_page_renews_itself(
    shown: tuple[ServerProcess, int], chromium: Any, tmp_path: Path, scheme: str
) -> None:
    server, run = shown
    size = {"width": 1100, "height": 800} if scheme == "light" else {"width": 390, "height": 844}
    page = open_signed_in(chromium, server, color_scheme=scheme, viewport=size)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    job = server.job(run)["id"]
    for name, path in (("status", "/status"), ("run", f"/status/runs/{run}"), ("job", f"/status/jobs/{job}")):
        page.goto(path)
        page.wait_for_selector("h1")
        assert page.evaluate("window.hacked") is None
        assert page.evaluate("document.images.length") == 0
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
        page.screenshot(path=folder / f"{name}-{scheme}.png", full_page=True)
    page.goto(f"/status/runs/{run + 1}")
    server.api.post(f"/runs/{run + 1}/cancel", json={"reason": "seen live"})
    page.wait_for_selector("text=seen live")
    assert problems == []


# A mark on the nodes that are shown now, and what somebody does who reads the log: scrolls it, and selects two lines.
READ_ON = """() => {
  const log = document.getElementById("log"), text = log.firstChild;
  log.scrollTop = 2200;
  window.scrollTo(0, 40);
  log.mark = document.querySelector("h1").mark = 1;
  const first = text.data.indexOf("line 120"), range = document.createRange();
  range.setStart(text, first);
  range.setEnd(text, text.data.indexOf("line 122"));
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  return range.getBoundingClientRect().top;
}"""
SEEN = """() => ({
  marks: [document.getElementById("log").mark, document.querySelector("h1").mark],
  selected: getSelection().toString(),
  top: getSelection().getRangeAt(0).getBoundingClientRect().top,
  y: window.scrollY,
})"""


def begin_job(
    make_server: Servers, make_agent: Agents, **settings: Any
) -> tuple[ServerProcess, TestAgent, m.Assign]:
    """A server, and an agent that holds the job of its first run."""
    server = make_server(**settings)
    agent = make_agent(server, name="box-1").connect()
    server.submit()
    return server, agent, agent.take()


def numbered(*numbers: int) -> str:
    return "".join(f"line {number}\n" for number in range(*numbers))


@pytest.mark.enable_socket
@pytest.mark.store("sqlite")
def test_a_page_whose_server_is_away_says_so_and_goes_on_when_it_is_back(
    make_server: Servers, make_agent: Agents, chromium: Any
) -> None:
    server, agent, assign = begin_job(make_server, make_agent, listen=f"127.0.0.1:{free_port()}")
    agent.ship(assign, journal(assign, step(), log("a line\n"), closes=False))
    page = open_signed_in(chromium, server)
    page.goto(f"/status/jobs/{assign.job}")
    page.wait_for_selector("text=a line")
    assert page.is_hidden("#away")
    server.kill()
    page.wait_for_selector("#away:visible")
    assert "a line" in page.inner_text("#log")
    server.start()
    page.wait_for_selector("#away", state="hidden")


@pytest.mark.enable_socket
@pytest.mark.store("sqlite")
def test_who_reads_a_log_while_it_grows_keeps_their_place_and_their_selection(
    make_server: Servers, make_agent: Agents, chromium: Any
) -> None:
    server, agent, assign = begin_job(make_server, make_agent)
    beginning = journal(assign, step(), log(numbered(1, 180) + "half a"), closes=False)
    agent.ship(assign, beginning)
    page = open_signed_in(chromium, server, viewport={"width": 900, "height": 500})
    page.goto(f"/status/jobs/{assign.job}")
    page.wait_for_selector("text=half a")
    top = page.evaluate(READ_ON)
    for more in (" line\n", numbered(180, 260), numbered(260, 900)):  # the last is more than a page has
        agent.ship(assign, frames(log(more)))
        page.wait_for_selector(f"text={more.splitlines()[-1].strip()}")
        seen = page.evaluate(SEEN)
        assert seen["marks"] == [1, 1]
        assert seen["selected"] == "line 120\nline 121\n"
        assert abs(seen["top"] - top) < 2, "the lines stay where they are on the screen"
        assert seen["y"] == 40
    shown = page.inner_text("#log").splitlines()
    assert shown[:3] == ["line 1", "line 2", "line 3"]
    assert [line for line in shown if not line.startswith("line ")] == [
        "half a line",
        "⋯ there was more than the page could follow: all of it is below ⋯",
    ]
    page.evaluate("document.getElementById('log').scrollTop = 1e6")
    agent.ship(assign, frames(log("the last\n")))
    page.wait_for_selector("text=the last")
    assert page.evaluate(
        "(log => log.scrollTop + log.clientHeight >= log.scrollHeight - 2)(document.getElementById('log'))"
    )


@pytest.mark.enable_socket
@pytest.mark.store("sqlite")
def test_bars_that_are_written_over_together_are_seen_once_while_they_move(
    make_server: Servers, make_agent: Agents, chromium: Any
) -> None:
    server, agent, assign = begin_job(make_server, make_agent)
    agent.ship(assign, journal(assign, step(), log("begun\nouter 1\ninner 1\x1b[A\r"), closes=False))
    page = open_signed_in(chromium, server)
    page.goto(f"/status/jobs/{assign.job}")
    page.wait_for_selector("text=outer 1")
    for number in range(2, 5):
        agent.ship(assign, frames(log(f"outer {number}\ninner {number}\x1b[A\r")))
        page.wait_for_selector(f"text=inner {number}")
        assert page.inner_text("#log").splitlines() == ["begun", f"outer {number}", f"inner {number}"]


@pytest.mark.enable_socket
@pytest.mark.store("sqlite")
def test_a_page_that_was_opened_before_the_job_began_shows_its_output_as_it_grows(
    make_server: Servers, make_agent: Agents, chromium: Any
) -> None:
    server = make_server()
    run = server.submit()
    page = open_signed_in(chromium, server)
    page.goto(f"/status/jobs/{server.job(run)['id']}")
    page.wait_for_selector("text=Nothing yet.")
    agent = make_agent(server, name="box-1").connect()
    assign = agent.take()
    agent.ship(assign, journal(assign, step(), log("one\n"), closes=False))
    page.wait_for_selector("#log:has-text('one')")
    agent.ship(assign, frames(log("two\n")))
    page.wait_for_selector("#log:has-text('two')")
    agent.ship(assign, frames(closing()))
    page.wait_for_selector("text=success")


SCROLLS_WITHOUT_FOCUS = """() => [...document.querySelectorAll("*")].filter(
  (node) => node.scrollHeight > node.clientHeight + 1
    && ["auto", "scroll"].includes(getComputedStyle(node).overflowY) && node.tabIndex < 0
).map((node) => node.outerHTML.slice(0, 80))"""


@pytest.mark.enable_socket
@pytest.mark.store("sqlite")
def test_what_scrolls_is_reached_by_the_keyboard(
    make_server: Servers, make_agent: Agents, chromium: Any
) -> None:
    server, agent, assign = begin_job(make_server, make_agent)
    agent.finish(assign, journal(assign, step(), log(numbered(1, 300)), Summary(0, numbered(1, 300))))
    page = open_signed_in(chromium, server)
    for path, selector in (
        (f"/status/jobs/{assign.job}", "#log"),
        (f"/status/runs/{assign.spec.run}", "main pre"),
    ):
        page.goto(path)
        page.wait_for_selector(selector)
        assert page.evaluate(SCROLLS_WITHOUT_FOCUS) == []
        page.focus(selector)
        page.keyboard.press("End")
        page.wait_for_function("selector => document.querySelector(selector).scrollTop > 0", arg=selector)


@pytest.mark.enable_socket
@pytest.mark.store("sqlite")
def test_an_unknown_address_is_a_page_with_a_way_home_in_a_browser(
    make_server: Servers, chromium: Any
) -> None:
    page = open_signed_in(chromium, make_server())
    for path in ("/nowhere", "/api/v1/nowhere", "/api/v1/runs/99"):
        answer = page.goto(path)
        assert answer.status == 404
        assert page.title() == "Not found · flow-agent"
        assert page.locator("main h1").inner_text() == "Not found"
        assert page.evaluate("document.documentElement.lang") == "en"
    page.click("main a")
    page.wait_for_url("**/status")


@pytest.mark.enable_socket
def test_no_other_page_can_frame_ours(shown: tuple[ServerProcess, int], chromium: Any) -> None:
    server, _ = shown
    page = open_signed_in(chromium, server)
    page.set_content(f'<iframe src="{server.url}/status"></iframe>')
    page.wait_for_load_state("networkidle")
    assert "Agents" not in "".join(frame.content() for frame in page.frames[1:])
