"""Signed URLs, jobs' tokens and the throttle, by themselves."""

import json
import time
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.manual_clock import ManualClock

from agent.errors import RefusedError
from agent.server.people.auth.runtime import JobIdentity, RuntimeTokens
from agent.server.people.auth.signed_urls import SignedUrls
from agent.server.people.auth.throttle import Throttle

NOW = 1_800_000_000.0
URLS = SignedUrls(b"k" * 32)
JOB = JobIdentity(7, "job_" + "0" * 20, 2)


def parts(url: str) -> tuple[str, list[tuple[str, str]]]:
    split = urlsplit(url)
    return split.path, parse_qsl(split.query)


def test_a_signed_url_is_good_until_its_second() -> None:
    path, query = parts(URLS.sign("upload", "/a/b/c", expires=NOW + 10))
    URLS.check("upload", path, query, NOW)
    URLS.check("upload", path, [*query, ("comp", "block")], NOW)
    with pytest.raises(RefusedError, match="expired"):
        URLS.check("upload", path, query, NOW + 10)


def test_another_servers_signature_is_none_here() -> None:
    path, query = parts(SignedUrls(b"x" * 32).sign("upload", "/a/b/c", expires=NOW + 10))
    with pytest.raises(RefusedError):
        URLS.check("upload", path, query, NOW)


@given(st.text(max_size=8), st.text(max_size=8), st.integers(1, 10**11), st.data())
def test_no_byte_moves_between_purpose_path_and_expiry(
    purpose: str, path: str, seconds: int, data: st.DataObject
) -> None:
    signature = dict(
        parts(URLS.sign(purpose, "/" + path.replace("?", "").replace("#", ""), expires=seconds))[1]
    )
    joined = f"{purpose}/{path}"
    cut = data.draw(st.integers(0, len(joined)))
    moved_purpose, moved_path = joined[:cut], joined[cut:]
    if (moved_purpose, moved_path) == (purpose, "/" + path):
        return
    with pytest.raises(RefusedError):
        URLS.check(moved_purpose, moved_path, list(signature.items()), 0)


def test_a_jobs_token_names_its_job_whatever_the_clock_says() -> None:
    """It ends with its job, by the rows: a clock that leaped, there or back, ends none."""
    tokens = RuntimeTokens(b"k" * 32, "server_1")
    for leap in (0, 86_400, -86_400):
        token = tokens.mint(JOB, scope="refs/heads/main", lifetime_seconds=60, now=time.time() + leap)
        assert tokens.read(token) == JOB


@pytest.mark.parametrize(
    "other", [RuntimeTokens(b"x" * 32, "server_1"), RuntimeTokens(b"k" * 32, "server_2")]
)
def test_another_servers_token_is_none_here(other: RuntimeTokens) -> None:
    token = other.mint(JOB, scope="", lifetime_seconds=60, now=NOW)
    with pytest.raises(RefusedError):
        RuntimeTokens(b"k" * 32, "server_1").read(token)


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda raw: raw.decode("latin-1")))
def test_nonsense_is_no_token(text: str) -> None:
    with pytest.raises(RefusedError):
        RuntimeTokens(b"k" * 32, "server_1").read(text)


def test_the_throttle_counts_by_client_and_minute() -> None:
    clock = ManualClock()
    throttle = Throttle(clock, failures_per_minute=2)
    assert [throttle.count_failure("a") for _ in range(3)] == [True, True, False]
    assert throttle.count_failure("b")
    clock.advance(60)
    assert throttle.count_failure("a")


def test_claims_are_what_githubs_clients_read() -> None:
    import base64

    token = RuntimeTokens(b"k" * 32, "s").mint(JOB, scope="refs/heads/x", lifetime_seconds=1, now=NOW)
    body = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    (scope,) = claims["scp"].split(" ")
    assert len(scope.split(":")) == 3
    assert json.loads(claims["ac"]) == [{"Scope": "refs/heads/x", "Permission": 3}]
