"""The walls between an app's page, other apps' pages and ours, as a real browser keeps them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from end_to_end.test_notebook import STEAL, open_signed_in
from support.browser import open_chromium
from support.lab import Lab, wait_for

ECHO = Path(__file__).parent.parent / "support" / "echo_app.py"
FLOW = """
  serve:
    runs-on: self-hosted
    apps:
      one: {{opens: /page}}
      two: {{opens: /page}}
    steps:
      - run: python3 {echo} $PORT_0 & python3 {echo} $PORT_1
"""
pytestmark = pytest.mark.enable_socket
POST = """async (url) => {
  const form = Object.assign(document.createElement("form"), {method: "POST", action: url, target: "_blank"});
  document.body.append(form);
  form.submit();
}"""
FRAME = """async (url) => {
  const frame = Object.assign(document.createElement("iframe"), {src: url});
  const loaded = new Promise((resolve) => { frame.onload = resolve; });
  document.body.append(frame);
  await loaded;
}"""
SOCKET = """(url) => new Promise((resolve) => {
  const socket = new WebSocket(url);
  socket.onopen = () => resolve("open");
  socket.onclose = () => resolve("closed");
})"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, dict[str, str]]]:
    """A page at the app `one`, whose visitor is signed in with us and visits `two` as well; the origins of all three."""
    folder = tmp_path_factory.mktemp("walls")
    with Lab(folder, {"HOME": str(folder)}) as lab, open_chromium() as browser:
        lab.start_server()
        lab.add_agent("box")
        run = lab.submit(lab.write_flow(FLOW.format(echo=ECHO)))
        wait_for(lambda: states_of(lab, run) == {"ready"}, "both apps to be ready")
        lab.url = lab.url.replace("127.0.0.1", "localhost")  # as close to the apps' hosts as ours can be
        page = open_signed_in(browser, lab)
        origins = {"ours": lab.url, "run": f"{lab.url}/status/runs/{run}"}
        for app in ("two", "one"):
            page.goto(origins["run"])
            page.click(f"#apps-table a:has-text('{app}')")
            page.wait_for_url("**/page")
            origins[app] = page.evaluate("location.origin")
        yield page, origins


@pytest.fixture(autouse=True)
def at_one(pages: tuple[Any, dict[str, str]]) -> None:
    """Each test begins at the page of the app `one`."""
    page, origins = pages
    page.goto(f"{origins['one']}/page")


def states_of(lab: Lab, run: int) -> set[str]:
    return {app["state"] for app in lab.get("run", "apps", str(run))["apps"]}


def test_an_apps_page_sees_no_cookie_of_ours_and_reads_nothing(pages: tuple[Any, dict[str, str]]) -> None:
    page, origins = pages
    names = {cookie["name"] for cookie in page.context.cookies()}
    assert {"flow-session", "flow-app"} <= names
    assert page.inner_text("#cookies") == "seen:"
    for url in (f"{origins['ours']}/api/v1/user", f"{origins['ours']}/status", f"{origins['two']}/hello"):
        assert page.evaluate(STEAL, url).startswith("refused: "), url


def test_an_apps_page_sends_nothing_in_its_visitors_name(pages: tuple[Any, dict[str, str]]) -> None:
    page, origins = pages
    for url, word in (
        (f"{origins['two']}/echo", "may lead to this app"),
        (f"{origins['ours']}/logout", "a token is needed"),
    ):
        with page.context.expect_page() as opened:
            page.evaluate(POST, url)
        opened.value.wait_for_load_state()
        assert word in opened.value.content()
        opened.value.close()
    page.evaluate(FRAME, f"{origins['two']}/page")
    page.evaluate(FRAME, f"{origins['ours']}/status")
    assert not any("seen:" in frame.content() or "Agents" in frame.content() for frame in page.frames[1:])
    socket = origins["two"].replace("http", "ws") + "/socket"
    assert page.evaluate(SOCKET, socket) == "closed"
    page.goto(f"{origins['ours']}/status")
    assert page.url.endswith("/status"), "still signed in"


def test_an_apps_page_plants_no_cookie_among_ours(pages: tuple[Any, dict[str, str]]) -> None:
    page, origins = pages
    for name in ("flow-session", "flow-app"):
        page.evaluate("(name) => { document.cookie = `${name}=evil; domain=localhost; path=/`; }", name)
        page.evaluate("(name) => { document.cookie = `${name}=evil; path=/`; }", name)
    assert [
        cookie["value"] for cookie in page.context.cookies(origins["ours"]) if "evil" in cookie["value"]
    ] == []
    page.goto(f"{origins['ours']}/status")
    assert page.url.endswith("/status"), "still signed in"
    page.goto(f"{origins['two']}/page")
    assert page.inner_text("#cookies") == "seen:"


def test_a_link_to_an_app_works_from_anywhere_and_asks_to_sign_in(pages: tuple[Any, dict[str, str]]) -> None:
    page, origins = pages
    stranger = page.context.browser.new_context().new_page()
    stranger.goto(f"{origins['one']}/page?x=1")
    stranger.wait_for_url("**/login?next=**")
    stranger.fill("input[name=user]", "ada")
    stranger.fill("input[name=password]", "correct horse battery")
    stranger.click("main button")
    stranger.wait_for_url("**/page?x=1")
    assert stranger.evaluate("location.origin") == origins["one"]
    page.set_content(f'<a href="{origins["two"]}/page">on</a>')
    page.click("a")
    page.wait_for_url("**/page")
    assert page.evaluate("location.origin") == origins["two"]
