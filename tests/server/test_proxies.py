"""Who asks, behind proxies: what the operator's say is believed, and what anybody else says is not."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from server.vocabulary import ServerProcess
from starlette.datastructures import Headers
from support.balancer import run_balancer

from agent.errors import UsageError
from agent.server.http.proxies import FORWARDED, Hop, TrustedProxies, read_address, read_proxies

OURS = read_proxies("10.0.0.0/8, 2001:db8:1::/48")
OURS_BY_RFC = read_proxies("10.0.0.0/8 2001:db8:1::/48", "forwarded")
NOBODY = TrustedProxies()


def headers(*pairs: tuple[str, str]) -> Headers:
    return Headers(raw=[(name.lower().encode(), value.encode("latin-1")) for name, value in pairs])


def said(*lines: str, proto: str = "") -> Headers:
    also = [("X-Forwarded-Proto", proto)] if proto else []
    return headers(*(("X-Forwarded-For", line) for line in lines), *also)


@pytest.mark.parametrize(
    ("peer", "lines", "expected"),
    [
        ("203.0.113.5", ["6.6.6.6"], "203.0.113.5"),  # not a proxy of ours
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", ["6.6.6.6, 203.0.113.5"], "203.0.113.5"),  # what it was told before is a claim
        ("10.0.0.1", ["6.6.6.6", "203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", ["6.6.6.6, 203.0.113.5, 10.0.0.2"], "203.0.113.5"),  # two proxies of ours
        ("10.0.0.1", ["10.6.6.6, 203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", ["10.0.0.7, 10.0.0.2"], "10.0.0.7"),  # somebody inside
        ("10.0.0.1", ["6.6.6.6, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["6.6.6.6, _hidden, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["6.6.6.6, 203.0.113.5:4711"], "203.0.113.5"),
        ("10.0.0.1", ["[2001:db8:2::1]:80"], "2001:db8:2::1"),
        ("10.0.0.1", ["2001:db8:2::1, 2001:db8:1::9"], "2001:db8:2::1"),
        ("10.0.0.1", ["6.6.6.6, <script>"], "10.0.0.1"),
        ("10.0.0.1", [" , ,"], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["203.0.113.5"], "203.0.113.5"),
        ("testclient", ["203.0.113.5"], "testclient"),
    ],
)
def test_the_client_is_the_last_one_who_is_no_proxy_of_ours(
    peer: str, lines: list[str], expected: str
) -> None:
    assert OURS.find_client(peer, said(*lines)).address == expected
    assert NOBODY.find_client(peer, said(*lines)) == Hop(peer)


@pytest.mark.parametrize(
    ("lines", "proto", "expected"),
    [
        (["203.0.113.5"], "https", "https"),
        (["203.0.113.5"], "ftp", ""),
        (["6.6.6.6, 203.0.113.5"], "http, https", "https"),
        (["203.0.113.5, 10.0.0.2"], "https, http", "https"),
        (["203.0.113.5, 10.0.0.2"], "wss", "https"),
        ([], "https", ""),  # a proxy that says nothing of the client says nothing
    ],
)
def test_the_scheme_is_what_the_client_has_used(lines: list[str], proto: str, expected: str) -> None:
    assert OURS.find_client("10.0.0.1", said(*lines, proto=proto)).scheme == expected
    assert OURS.find_client("203.0.113.9", said(*lines, proto=proto)).scheme == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("for=203.0.113.5;proto=https;by=10.0.0.1", Hop("203.0.113.5", "https")),
        ('for=6.6.6.6, For="[2001:db8:2::1]:4711"; Proto=http', Hop("2001:db8:2::1", "http")),
        ("for=203.0.113.5;proto=https, for=10.0.0.2", Hop("203.0.113.5", "https")),
        ("for=6.6.6.6, for=unknown", Hop("10.0.0.1")),
        ('for=6.6.6.6, for="_gazonk"', Hop("10.0.0.1")),
        ("proto=https", Hop("10.0.0.1", "https")),
        # A quote that the client leaves open does not swallow what our proxy adds.
        ('for=6.6.6.6;x=", for="[2001:db8:2::1]:47"', Hop("2001:db8:2::1")),
        ('for="6.6.6.6, for=203.0.113.5', Hop("203.0.113.5")),
        ('host="a,b;for=6.6.6.6";for=203.0.113.5', Hop("203.0.113.5")),
        ("", Hop("10.0.0.1")),
    ],
)
def test_the_header_of_the_rfc_is_read_where_it_is_chosen(text: str, expected: Hop) -> None:
    both = headers((FORWARDED, text), ("X-Forwarded-For", "7.7.7.7"))
    assert OURS_BY_RFC.find_client("10.0.0.1", both) == expected
    assert OURS.find_client("10.0.0.1", both).address == "7.7.7.7"
    assert OURS_BY_RFC.find_client("203.0.113.9", both) == Hop("203.0.113.9")


@given(st.text(st.characters(max_codepoint=255), max_size=60), st.sampled_from([OURS, OURS_BY_RFC]))
def test_whatever_a_client_sends_its_own_address_counts(claim: str, proxies: TrustedProxies) -> None:
    ours = "203.0.113.5" if proxies is OURS else 'for="203.0.113.5:99";proto=http'
    sent = headers((proxies.header, f"{claim}, {ours}"))
    assert proxies.find_client("10.0.0.1", sent).address == "203.0.113.5"


@given(st.ip_addresses())
def test_an_address_is_read_in_each_of_its_forms(address: Any) -> None:
    plain = str(getattr(address, "ipv4_mapped", None) or address)
    forms = [f"[{address}]", f"[{address}]:80"] if address.version == 6 else [f"{address}:80"]
    assert {read_address(form) for form in (str(address), f" {address} ", *forms)} == {plain}


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "1.2.3.4.5", "[::1", "999.1.1.1", "1.2.3.4/8"])
def test_what_is_no_address_is_none(text: str) -> None:
    assert read_address(text) is None


@pytest.mark.parametrize(
    ("networks", "header", "complaint"),
    [
        ("10.0.0.1/8", "X-Forwarded-For", "host bits"),
        ("proxy.example.com", "X-Forwarded-For", "no network"),
        ("0.0.0.0/0", "X-Forwarded-For", "could be anybody"),
        ("10.0.0.0/8", "X-Real-IP", "X-Real-IP"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(networks: str, header: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        read_proxies(networks, header)


# Through a real nginx


def address_in_audit(server: ServerProcess) -> str:
    """Where the newest request that changed something came from."""
    return str(server.api.get("/audit", params={"limit": 1}).json()["entries"][0]["address"])


def guess(url: str, claim: str) -> int:
    sent = {"Authorization": "Bearer fa_api_guessed", "X-Forwarded-For": claim, "Forwarded": f"for={claim}"}
    return httpx.get(f"{url}/api/v1/runs", headers=sent).status_code


def make_secret(server: ServerProcess, url: str, claim: str) -> None:
    sent = {"Authorization": f"Bearer {server.token}", "X-Forwarded-For": claim, "Forwarded": f"for={claim}"}
    answer = httpx.put(f"{url}/api/v1/secrets/KEY", json={"value": "x"}, headers=sent)
    assert answer.status_code == 200, answer.text


@pytest.mark.store("sqlite")
def test_behind_nginx_people_are_told_apart_and_nobody_is_somebody_else(
    make_server: Any, tmp_path: Path
) -> None:
    server = make_server(trusted_proxies="127.0.0.1", limits={"failures_per_minute": 2})
    with run_balancer(tmp_path / "nginx", [server.url.removeprefix("http://")]) as url:
        make_secret(server, url, "6.6.6.6")
        assert address_in_audit(server) == "6.6.6.6"  # nginx is trusted, and so is who is on its machine: us
        make_secret(server, url, "6.6.6.6, 203.0.113.7")
        assert address_in_audit(server) == "203.0.113.7"
        claims = [guess(url, f"{n}.6.6.6, 203.0.113.8") for n in range(1, 4)]
        assert claims == [401, 401, 429]  # other claims are no other client
        assert guess(url, "203.0.113.9") == 401
        links = httpx.get(url, headers={"X-Forwarded-Proto": "https", "Accept": "application/json"}).text
        assert "http://127.0.0.1" in links  # nginx was asked by http, whatever the client says


@pytest.mark.store("sqlite")
def test_without_the_setting_nginx_is_the_client_whatever_is_said(make_server: Any, tmp_path: Path) -> None:
    server = make_server(limits={"failures_per_minute": 2})
    with run_balancer(tmp_path / "nginx", [server.url.removeprefix("http://")]) as url:
        make_secret(server, url, "6.6.6.6")
        assert address_in_audit(server) == "127.0.0.1"
        assert [guess(url, f"203.0.113.{n}") for n in range(3)] == [401, 401, 429]
    make_secret(server, server.url, "6.6.6.6")
    assert address_in_audit(server) == "127.0.0.1"


@pytest.mark.store("sqlite")
def test_who_reaches_the_server_past_its_proxies_is_not_believed(make_server: Any) -> None:
    server = make_server(trusted_proxies="192.0.2.0/24")
    make_secret(server, server.url, "6.6.6.6")
    assert address_in_audit(server) == "127.0.0.1"
