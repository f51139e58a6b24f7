"""Browsers: signing in, sessions, and what pages of other sites try with them."""

import html
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from server.vocabulary import PATIENCE_SECONDS, ServerProcess

from agent.server.process.own_url import own_path

Servers = Callable[..., ServerProcess]
pytestmark = pytest.mark.store("sqlite")
PASSWORD = "correct horse battery"


class Browser:
    """Keeps cookies, says the origin of its page with what it posts, and does not follow redirects."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.http = httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS)

    def csrf(self, path: str = "/account") -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', self.http.get(path).text)
        assert found is not None
        return found[1]

    def post(self, path: str, *, origin: str | None = "own", **fields: str) -> httpx.Response:
        given = self.server.url if origin == "own" else origin
        return self.http.post(path, data=fields, headers={} if given is None else {"Origin": given})

    def sign_in(self, user: str, password: str = PASSWORD, **more: str) -> httpx.Response:
        return self.post("/login", csrf=self.csrf("/login"), user=user, password=password, **more)

    @property
    def session(self) -> str:
        return self.http.cookies.get("flow-session", "")


@pytest.fixture(scope="module")
def grace(server: ServerProcess) -> str:
    """The name of a user with a password who may run things in the project `default`."""
    server.add_user("grace", role="runner", password=PASSWORD)
    return "grace"


@pytest.fixture
def browser(server: ServerProcess) -> Iterator[Browser]:
    made = Browser(server)
    yield made
    made.http.close()


@pytest.fixture
def signed_in(browser: Browser, grace: str) -> Browser:
    assert browser.sign_in(grace).status_code == 303
    return browser


def test_a_browser_signs_in_reads_the_api_and_signs_out(browser: Browser, grace: str) -> None:
    assert browser.http.get("/account").headers["location"] == "/login?next=/account"
    answer = browser.sign_in(grace, next="/account")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    assert browser.http.get("/api/v1/user").json()["name"] == grace
    session = browser.session
    assert browser.post("/logout", csrf=browser.csrf()).headers["location"] == "/login"
    assert browser.session == ""
    stolen = {"Cookie": f"flow-session={session}"}
    assert browser.http.get("/api/v1/user", headers=stolen).status_code == 401


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(browser: Browser, grace: str) -> None:
    cookies = browser.sign_in(grace).headers.get_list("set-cookie")
    (cookie,) = [text for text in cookies if text.startswith("flow-session=")]
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))


def test_over_https_the_cookie_is_secure_and_bound_to_the_host(make_server: Servers) -> None:
    server = make_server(public_url="https://flows.example.org")
    address = (server.data / "address").read_text().strip()
    cookie = httpx.get(f"{address}/login").headers["set-cookie"]
    assert cookie.startswith("__Host-flow-form=")
    assert "Secure" in cookie.split("; ")


def test_a_wrong_password_signs_nobody_in_and_says_no_more_than_that(browser: Browser, grace: str) -> None:
    answers = [browser.sign_in(grace, "wrong" + PASSWORD), browser.sign_in("nobody-at-all", PASSWORD)]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert all("the name or the password is not right" in answer.text for answer in answers)
    assert browser.session == ""


def test_a_session_by_a_personal_token_may_what_the_token_may_and_ends_with_it(
    browser: Browser, server: ServerProcess, grace: str
) -> None:
    made = server.api.post(f"/users/{grace}/tokens", json={"role": "viewer", "name": "page"}).json()
    assert browser.sign_in("", made["token"]).status_code == 303
    assert browser.http.get("/api/v1/user").json()["name"] == grace
    assert browser.http.get("/api/v1/runs").status_code == 200
    started = browser.http.post(
        "/api/v1/runs",
        json={},
        headers={"Origin": server.url, "X-CSRF-Token": browser.csrf()},
    )
    assert started.status_code == 403
    assert server.api.delete(f"/users/{grace}/tokens/{made['id']}").status_code == 204
    assert browser.http.get("/api/v1/user").status_code == 401


def test_a_token_that_is_none_signs_nobody_in(browser: Browser) -> None:
    answer = browser.sign_in("", "fa_api_" + "x" * 43)
    assert answer.status_code == 401
    assert browser.session == ""


def test_signing_in_makes_a_fresh_session_and_ends_the_one_before(signed_in: Browser, grace: str) -> None:
    planted = signed_in.session
    assert signed_in.sign_in(grace).status_code == 303
    assert signed_in.session != planted
    answer = signed_in.http.get("/api/v1/user", headers={"Cookie": f"flow-session={planted}"})
    assert answer.status_code == 401


def test_a_session_that_nobody_signed_is_none(signed_in: Browser) -> None:
    value, _, _ = signed_in.session.rpartition(".")
    for forged in (value, f"{value}.x", f"{signed_in.session}x", "", "é"):
        headers = {"Cookie": f"flow-session={forged}".encode()}
        assert httpx.get(f"{signed_in.server.url}/api/v1/user", headers=headers).status_code == 401


def test_a_sign_in_form_of_another_browser_is_refused(browser: Browser, grace: str) -> None:
    other = Browser(browser.server)
    foreign = other.csrf("/login")
    other.http.close()
    browser.http.get("/login")
    assert browser.post("/login", csrf=foreign, user=grace, password=PASSWORD).status_code == 403
    assert browser.post("/login", user=grace, password=PASSWORD).status_code == 403


CHANGES = [
    ("POST", "/api/v1/runs", {"flow": {"file": "a", "text": "b"}}),
    ("POST", "/api/v1/user/tokens", {}),
    ("PUT", "/api/v1/variables/X", {"value": "1"}),
]


@pytest.mark.parametrize(("verb", "path", "body"), CHANGES)
def test_what_a_cookie_changes_needs_the_proof_of_a_page_of_ours(
    signed_in: Browser, verb: str, path: str, body: Any
) -> None:
    for headers in ({}, {"X-CSRF-Token": "0" * 64}, {"X-CSRF-Token": ""}):
        answer = signed_in.http.request(verb, path, json=body, headers=headers)
        assert answer.status_code == 403
        assert "does not prove" in answer.json()["detail"]
    good = signed_in.http.request(verb, path, json=body, headers={"X-CSRF-Token": signed_in.csrf()})
    assert "does not prove" not in good.text


@pytest.mark.parametrize("path", ["/api/v1/user", "/api/v1/runs", "/account"])
@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_a_page_of_another_site_reads_nothing_with_the_cookie(
    signed_in: Browser, path: str, headers: dict[str, str]
) -> None:
    assert signed_in.http.get(path, headers=headers).status_code == 403


def test_a_stream_with_a_cookie_and_a_foreign_origin_is_refused(
    signed_in: Browser, server: ServerProcess
) -> None:
    run = server.submit()
    path = f"/api/v1/runs/{run}/events"
    assert signed_in.http.get(path, headers={"Origin": "https://evil.example"}).status_code == 403
    with signed_in.http.stream("GET", path, headers={"Origin": server.url}) as stream:
        assert stream.status_code == 200


def test_a_form_from_elsewhere_changes_nothing(signed_in: Browser) -> None:
    csrf = signed_in.csrf()
    for origin in ("https://evil.example", "null", signed_in.server.url + ".evil.example"):
        answer = signed_in.post("/account/tokens", origin=origin, csrf=csrf, name="evil", days="30")
        assert answer.status_code == 403
    tokens = signed_in.http.get("/api/v1/user/tokens").json()["tokens"]
    assert "evil" not in [token["name"] for token in tokens]


def test_a_token_is_made_and_ended_on_the_page(signed_in: Browser) -> None:
    page = signed_in.post("/account/tokens", csrf=signed_in.csrf(), name="<b>laptop</b>", days="30")
    found = re.search(r"<pre>(fa_api_\w+)</pre>", page.text)
    assert found is not None
    assert "&lt;b&gt;laptop&lt;/b&gt;" in page.text
    expires = re.search(r"<td>(\d{4}-\d\d-\d\d \d\d:\d\d UTC)</td>", page.text)
    assert expires is not None
    with signed_in.server.as_user(found[1]) as client:
        assert client.get("/user").status_code == 200
        (token,) = [
            row for row in client.get("/user/tokens").json()["tokens"] if row["name"] == "<b>laptop</b>"
        ]
        ended = signed_in.post(f"/account/tokens/{token['id']}/revoke", csrf=signed_in.csrf())
        assert ended.status_code == 303
        assert client.get("/user").status_code == 401
    assert found[1] not in signed_in.http.get("/account").text


def test_a_browser_that_a_passing_token_signed_in_makes_no_lasting_one(
    browser: Browser, server: ServerProcess
) -> None:
    server.add_user("passing", role="runner")
    made = server.api.post("/users/passing/tokens", json={"expires_seconds": 30 * 86400.0}).json()
    assert browser.sign_in("", made["token"]).status_code == 303
    headers = {"X-CSRF-Token": browser.csrf()}
    lasting = browser.http.post("/api/v1/user/tokens", json={}, headers=headers).json()
    assert lasting["expires"] <= made["expires"]
    new = {"new": PASSWORD}
    assert browser.http.put("/api/v1/user/password", json=new, headers=headers).status_code == 403


def test_a_new_password_ends_the_sessions(server: ServerProcess) -> None:
    server.add_user("hedy", password=PASSWORD)
    browser = Browser(server)
    browser.sign_in("hedy")
    assert server.api.patch("/users/hedy", json={"password": PASSWORD * 2}).status_code == 200
    assert browser.http.get("/api/v1/user").status_code == 401
    browser.http.close()


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/x\r\nSet-Cookie: a=b",
        "///evil.example",
        "http:/evil.example",
        "",
        "evil",
        "/\tevil",
        "/é",
    ],
)
def test_signing_in_leads_nowhere_else(browser: Browser, grace: str, wanted: str) -> None:
    assert own_path(wanted) == "/"
    assert browser.sign_in(grace, next=wanted).headers["location"] == "/"


@pytest.mark.parametrize("wanted", ["/", "/account", "/runs?status=queued&x=1", "/a//b"])
def test_signing_in_leads_back_to_where_one_wanted_to_go(wanted: str) -> None:
    assert own_path(wanted) == wanted


def test_pages_are_framed_by_nobody_and_run_no_script_but_ours(browser: Browser) -> None:
    for path in ("/login", "/login?next=%22%3E%3Cscript%3E"):
        answer = browser.http.get(path)
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "<script" not in answer.text


def test_what_was_typed_comes_back_as_text(browser: Browser) -> None:
    evil = '"><script>alert(1)</script>'
    answer = browser.sign_in(evil)
    assert evil not in answer.text
    assert html.escape(evil, quote=True).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in answer.text


@pytest.mark.parametrize(
    "file", ["..%2f..%2fpages.py", "%2e%2e/pages.py", "base.html", "style.css%00", "....//style.css"]
)
def test_only_the_files_of_the_list_are_served(server: ServerProcess, file: str) -> None:
    assert server.http.get(f"/static/{file}").status_code in (404, 422)


@pytest.mark.parametrize(
    "fields", ["user=a&user=b", "x=" + "y" * 70_000, "&".join(f"f{n}=1" for n in range(200)), "user=%ff"]
)
def test_a_form_that_is_none_is_refused(browser: Browser, fields: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": browser.server.url}
    answer = browser.http.post("/login", content=fields, headers=headers)
    assert answer.status_code in (400, 413)


def test_the_pages_lie_beside_their_code() -> None:
    from agent.server.web import pages

    folder = pages._HERE
    assert {file.name for file in (folder / "templates").iterdir()} >= {"base.html", "sign_in.html"}
    assert (folder / "static" / "style.css").is_file()


def test_strangers_lock_nobody_out_of_a_browser_that_was_signed_in_before(make_server: Servers) -> None:
    server = make_server(limits={"failures_per_minute": 3})
    server.add_user("ada", role="runner", password=PASSWORD)
    server.add_user("eve", role="runner", password=PASSWORD)
    at_home, stranger, eve = Browser(server), Browser(server), Browser(server)
    assert at_home.sign_in("ada").status_code == 303
    assert eve.sign_in("eve").status_code == 303
    at_home.post("/logout", csrf=at_home.csrf())
    eve.post("/logout", csrf=eve.csrf())
    assert [stranger.sign_in("ada", "x" * 12).status_code for _ in range(4)] == [401, 401, 401, 429]
    assert eve.sign_in("ada").status_code == 429  # known, but as somebody else
    assert [at_home.sign_in("ada", "x" * 12).status_code for _ in range(2)] == [401, 401]
    assert at_home.sign_in("ada").status_code == 303
    token = server.api.post("/users/ada/tokens", json={}).json()["token"]
    assert stranger.sign_in("ada", token).status_code == 303
    for browser in (at_home, stranger, eve):
        browser.http.close()
