"""Signing in at an OpenID Connect provider: a real one in a process of its own, and what it or others may try."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from server.vocabulary import PATIENCE_SECONDS, ServerProcess
from support import oidc_provider

from agent.errors import UsageError
from agent.server.people.auth.oidc import challenge_of, read_oidc
from agent.server.people.auth.roles import Role

pytestmark = pytest.mark.store("sqlite")
NOTHING = dict.fromkeys(
    (
        "oidc_issuer",
        "oidc_client_id",
        "oidc_client_secret",
        "oidc_name",
        "oidc_domains",
        "oidc_claim",
        "oidc_roles",
    ),
    "",
)


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    script = Path(oidc_provider.__file__)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture(scope="module")
def lab(issuer: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose people sign in at the provider; group `ml` runs things in `vision`, `leads` maintains it."""
    given = {
        "oidc_issuer": issuer,
        "oidc_client_id": oidc_provider.CLIENT,
        "oidc_client_secret": oidc_provider.SECRET,
        "oidc_name": "Example Lab",
        "oidc_domains": "example.org",
        "oidc_roles": "ml=vision:runner leads=vision:maintainer ml=default:viewer ml=no-such:admin",
    }
    limits = {"failures_per_minute": 100_000}
    server = ServerProcess(tmp_path_factory.mktemp("lab") / "data", oidc={**NOTHING, **given}, limits=limits)
    assert server.api.post("/projects", json={"name": "vision"}).status_code == 201
    yield server
    server.stop()


class Person:
    """A browser that goes to the provider and back; `claims` say who sits before it."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.http = httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS)

    def begin(self, wanted: str = "/account") -> str:
        answer = self.http.get("/login/oidc", params={"next": wanted})
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def consent(self, url: str, **claims: Any) -> str:
        """The provider's answer: where it sends the browser back to."""
        known = {"sub": "u-1", "preferred_username": "Ada", "email": "ada@example.org", **claims}
        return httpx.get(f"{url}&{urlencode({'as': json.dumps(known)})}").headers["location"]

    def sign_in(self, **claims: Any) -> httpx.Response:
        return self.http.get(self.consent(self.begin(), **claims))

    def who(self) -> Any:
        answer = self.http.get("/api/v1/user")
        return answer.json() if answer.status_code == 200 else None


@pytest.fixture
def person(lab: ServerProcess) -> Iterator[Person]:
    made = Person(lab)
    yield made
    made.http.close()


def test_who_signs_in_at_the_provider_is_a_user_with_the_roles_of_their_groups(person: Person) -> None:
    assert "Sign in with Example Lab" in person.http.get("/login").text
    answer = person.sign_in(groups=["ml", "leads", "others"])
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    me = person.who()
    assert (me["name"], me["admin"]) == ("ada", False)
    assert me["roles"] == {"vision": "maintainer", "default": "viewer"}


def test_roles_follow_the_groups_at_each_sign_in_and_those_given_by_people_stay(person: Person) -> None:
    person.sign_in(sub="u-2", preferred_username="grace", groups=["ml"])
    given = person.server.api.put("/projects/vision/members/grace", json={"role": "admin"})
    assert given.status_code == 200
    person.sign_in(sub="u-2", preferred_username="grace", groups=[])
    assert person.who()["roles"] == {"vision": "admin"}


def test_the_provider_gives_nobody_the_name_of_somebody_else(person: Person) -> None:
    person.sign_in(sub="u-3", preferred_username="admin", groups=[])
    me = person.who()
    assert (me["name"], me["admin"], me["roles"]) == ("admin-2", False, {})
    person.sign_in(sub="u-3", preferred_username="renamed", groups=[])
    assert person.who()["name"] == "admin-2"


@pytest.mark.parametrize("name", ["", "../../etc", "Ünïcode Name", "a" * 300, "<script>", "'; --"])
def test_any_name_of_the_provider_becomes_a_plain_one(person: Person, name: str) -> None:
    assert person.sign_in(sub=f"n-{name[:10]}", preferred_username=name).status_code == 303
    shown = person.who()["name"]
    assert shown
    assert set(shown) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")


@pytest.mark.parametrize("fault", ["audience", "issuer", "expired", "nonce", "azp", "none", "hmac", "key"])
def test_an_id_token_that_is_wrong_in_one_way_signs_nobody_in(person: Person, fault: str) -> None:
    answer = person.sign_in(sub=f"u-{fault}", _fault=fault)
    assert answer.status_code == 403
    assert person.who() is None


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "eve@evil.example"},
        {"email": "eve@example.org.evil.example"},
        {"email": "eve@evil.example@sub.example.org"},
        {"email": "", "email_verified": True},
        {"email_verified": False},
        {"email_verified": "true"},
    ],
)
def test_other_domains_and_unverified_addresses_stay_outside(person: Person, claims: Any) -> None:
    answer = person.sign_in(sub="u-out", **claims)
    assert answer.status_code == 403
    assert "mail address" in answer.text


def test_an_answer_of_a_sign_in_that_another_browser_began_is_refused(
    lab: ServerProcess, person: Person
) -> None:
    other = Person(lab)
    back = other.consent(other.begin())
    other.http.close()
    assert person.http.get(back).status_code == 403
    person.begin()
    assert person.http.get(back).status_code == 403
    assert person.who() is None


def test_a_code_is_good_once_and_a_changed_state_or_issuer_never(person: Person) -> None:
    back = person.consent(person.begin())
    parts = urlsplit(back)
    query = dict(parse_qsl(parts.query))
    for change in ({"state": "x"}, {"iss": "https://evil.example"}, {"code": ""}, {"error": "access_denied"}):
        assert person.http.get(f"{parts.path}?{urlencode({**query, **change})}").status_code == 403
    assert person.http.get(back).status_code == 303
    assert person.http.get(back).status_code == 403


@pytest.mark.parametrize("wanted", ["https://evil.example", "//evil.example", "/\\evil.example"])
def test_signing_in_leads_nowhere_else(person: Person, wanted: str) -> None:
    back = person.consent(person.begin(wanted))
    assert person.http.get(back).headers["location"] == "/"


def test_who_is_disabled_here_stays_outside(person: Person) -> None:
    person.sign_in(sub="u-gone", preferred_username="gone")
    person.server.api.patch("/users/gone", json={"disabled": True})
    assert person.who() is None
    assert person.sign_in(sub="u-gone").status_code == 403


def test_sign_ins_at_the_provider_stand_in_the_audit_log(person: Person, issuer: str) -> None:
    person.sign_in(sub="u-log", preferred_username="logged")
    person.sign_in(sub="u-log", _fault="key")
    rows = person.server.api.get("/audit?limit=2").json()["entries"]
    assert [(row["outcome"], row["actor"]) for row in rows] == [("refused", ""), ("done", "logged")]
    assert {row["detail"]["provider"] for row in rows} == {issuer}


def test_a_server_without_a_provider_says_so(server: ServerProcess) -> None:
    assert server.http.get("/login/oidc").status_code == 404
    assert "Sign in with" not in server.http.get("/login").text


def test_settings_are_read_once_and_what_is_wrong_is_said() -> None:
    good = {
        **NOTHING,
        "oidc_issuer": "https://id.example.org",
        "oidc_client_id": "a",
        "oidc_client_secret": "b",
    }
    assert read_oidc(NOTHING) is None
    read = read_oidc({**good, "oidc_roles": "a=b=x:runner ml=y:viewer ml=z:admin"})
    assert read is not None
    assert read.roles == {
        "a=b": (("x", Role.RUNNER),),
        "ml": (("y", Role.VIEWER), ("z", Role.ADMIN)),
    }
    for wrong in (
        {"oidc_client_secret": ""},
        {"oidc_issuer": "http://id.example.org"},
        {"oidc_roles": "ml"},
        {"oidc_roles": "ml=x:king"},
    ):
        with pytest.raises(UsageError):
            read_oidc({**good, **wrong})


def test_the_challenge_is_the_one_of_the_rfc() -> None:
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B
    assert challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
