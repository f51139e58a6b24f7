"""agent/wire/answers.py: what an answer that is no success means, and why there was none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AgentError, NotFoundError, RefusedError, UnreachableError, UsageError
from agent.wire.answers import explain_answer, explain_silence, not_ours

URL = "https://flows.example.org"
HTML = {"content-type": "text/html; charset=utf-8"}
PAGE = b"<html>502 Bad Gateway</html>"


def problem(**fields: object) -> bytes:
    return json.dumps({"title": "No", **fields}).encode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, AgentError),
        (401, RefusedError),
        (403, RefusedError),
        (404, NotFoundError),
        (409, RefusedError),
        (422, UsageError),
        (429, UnreachableError),
        (500, AgentError),
        (503, UnreachableError),
    ],
)
def test_what_the_server_says_itself_is_passed_on(status: int, kind: type[AgentError]) -> None:
    error = explain_answer(status, {}, problem(detail="there is no run 9", hint="look"), URL)
    assert type(error) is kind
    assert (error.what, error.where, error.hint) == ("there is no run 9", URL, "look")


def test_a_problem_without_a_detail_says_its_title() -> None:
    assert explain_answer(400, {}, problem(), URL).what == "No"


def test_problems_of_a_flow_are_said_with_their_places() -> None:
    lines = [{"file": "f.yml", "line": 3, "column": 5, "message": "what is this"}]
    assert "\n  f.yml:3:5: what is this" in explain_answer(422, {}, problem(problems=lines), URL).what


def test_a_token_that_is_not_known_is_to_be_renewed() -> None:
    assert "agent login" in explain_answer(401, {}, problem(), URL).hint
    assert explain_answer(401, {}, problem(), URL, login_hint="ask Ada").hint == "ask Ada"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_names_the_other_address(status: int) -> None:
    error = explain_answer(status, {"location": "https://other/"}, b"", URL)
    assert "elsewhere, to https://other/" in error.what
    assert "nowhere" in explain_answer(status, {}, b"", URL).what


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "in front of the server asks for a log-in (HTTP 401 Unauthorized)"),
        (403, "in front of the server refuses (HTTP 403 Forbidden)"),
        (404, "not a flow-agent server (HTTP 404 Not Found)"),
        (407, "the proxy asks for a log-in"),
        (413, "takes nothing as large as this"),
        (429, "too many requests"),
        (500, "not a flow-agent server, or is broken (HTTP 500 Internal Server Error)"),
        (502, "the server behind it does not (HTTP 502 Bad Gateway)"),
        (504, "in vain"),
        (418, "not a flow-agent server (HTTP 418 I'm a Teapot, a page of text/html)"),
        (499, "(HTTP 499, a page of text/html)"),
    ],
)
@pytest.mark.parametrize("body", [PAGE, b"", b"[]", b'{"message": "no"}', b'{"title": 7}', b"\xff"])
def test_what_stands_between_is_said_in_a_sentence(status: int, said: str, body: bytes) -> None:
    error = explain_answer(status, HTML, body, URL)
    assert said.lower() in error.what.lower()
    assert error.hint
    assert (status in (429, 500, 502, 504)) == isinstance(error, UnreachableError)


def test_a_page_without_a_kind_is_a_page() -> None:
    assert explain_answer(418, {}, b"", URL).what.endswith("Teapot)")


@given(st.integers(300, 599), st.binary(max_size=60))
def test_any_answer_is_one_sentence(status: int, body: bytes) -> None:
    error = explain_answer(status, {}, body, URL)
    assert error.what
    assert not error.what.startswith("HTTP")


@pytest.mark.parametrize(
    ("kind", "reason", "said", "hint"),
    [
        (
            "ConnectError",
            "[Errno 111] Connection refused",
            "can't be reached: Connection refused",
            "agent server",
        ),
        (
            "ConnectError",
            "[Errno -2] Name or service not known",
            "reached: Name or service not known",
            "agent server",
        ),
        ("ReadTimeout", "timed out", "does not answer in time", "agent server"),
        ("RemoteProtocolError", "", "reached: RemoteProtocolError", "agent server"),
        ("ProxyError", "403 Forbidden", "the proxy does not let us through: 403 Forbidden", "NO_PROXY"),
        (
            "ConnectError",
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1006)",
            "certificate is not trusted: self-signed certificate",
            "SSL_CERT_FILE",
        ),
        (
            "ConnectError",
            "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)",
            "no TLS",
            "http://",
        ),
        (
            "ConnectError",
            "[SSL: RECORD_LAYER_FAILURE] record layer failure (_ssl.c:1032)",
            "no TLS",
            "http://",
        ),
        ("ConnectError", "[SSL: TLSV1_ALERT_X] alert", "not safe: [SSL: TLSV1_ALERT_X] alert", "TLS"),
    ],
)
def test_silence_is_explained(kind: str, reason: str, said: str, hint: str) -> None:
    error = explain_silence(kind, reason, URL)
    assert said in error.what
    assert "_ssl.c" not in error.what
    assert hint in error.hint


def test_what_is_not_ours_says_so() -> None:
    assert "not a flow-agent server" in not_ours(URL).what
