"""Whom the server speaks to on its own: nobody inside, unless the operator says so."""

import contextlib
import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AgentError, RefusedError, UnreachableError, UsageError
from agent.server.triggers.addresses import is_public
from agent.server.triggers.mirror import Mirror
from agent.server.triggers.outside import OutsideRule, check_api_url, check_url, split_url


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a/b",
        "https://127.0.0.1:8420/a/b",
        "http://[::1]/a/b",
        "http://[::ffff:127.0.0.1]/a/b",
        "http://10.1.2.3/a/b",
        "http://192.168.0.1/a/b",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/a/b",
        "http://[fd00::1]/a/b",
        "http://0.0.0.0/a/b",
        "http://2130706433/a/b",
        "http://0x7f.1/a/b",
        "http://224.0.0.1/a/b",
        "ssh://git@127.0.0.1/a/b",
        "http://localhost/a/b",
        "file:///etc",
        "file:///srv/git/../../etc",
        "ext::sh -c id",
        "git://127.0.0.1/a",
    ],
)
def test_what_is_not_public_is_refused(url: str) -> None:
    with pytest.raises(RefusedError):
        OutsideRule(("git.lab.example", "172.16.0.0/12", "/srv/git")).check(url)


@pytest.mark.parametrize(
    "host",
    [
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::10.0.0.1]",
        "[2002:7f00:1::]",
        "[2002:808:808::1]",
        "[2001:0:808:808::1]",
        "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[::ffff:10.1.2.3]",
        "[fec0::1]",
        "[5f00::1]",
        "[3fff::1]",
        "[100::1]",
        "[2001:1::1]",
        "192.0.0.9",
        "192.0.0.10",
        "192.88.99.1",
        "168.63.129.16",
        "100.100.100.200",
        "255.255.255.255",
    ],
)
def test_addresses_that_stand_for_inner_ones_or_for_a_near_router_are_refused(host: str) -> None:
    with pytest.raises(RefusedError, match="not a public address"):
        OutsideRule().check(f"https://{host}/a/b")


@pytest.mark.parametrize("host", ["[64:ff9b::8.8.8.8]", "[::ffff:8.8.8.8]", "[2606:4700::1111]", "192.0.1.1"])
def test_public_addresses_are_spoken_to_however_they_are_spelt(host: str) -> None:
    assert OutsideRule().check(f"https://{host}/a/b").addresses


def test_a_network_that_the_operator_names_is_let_through_however_it_is_spelt() -> None:
    outside = OutsideRule(("10.0.0.0/8", "fd00::/8"))
    for host in ("10.0.0.1", "[::ffff:10.0.0.1]", "[64:ff9b::10.0.0.1]", "[fd00::1]"):
        assert outside.check(f"https://{host}/a").addresses
    with pytest.raises(RefusedError):
        outside.check("https://[2002:a00:1::]/a")


# IANA's registries, "Globally Reachable" False or not said; with those of 192.0.0.0/24 and 2001::/23 that are.
IANA_4 = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
]
IANA_6 = [
    "::/128",
    "::1/128",
    "::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
]


@given(st.sampled_from([ipaddress.ip_network(text) for text in IANA_4 + IANA_6]), st.data())
def test_no_address_of_a_special_purpose_registry_is_public(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, network.num_addresses - 1))
    for address in (network[0], network[place], network[-1]):
        assert not is_public(address)
        if address.version == 4:
            assert not is_public(ipaddress.ip_address(f"::ffff:{address}"))
            assert not is_public(ipaddress.ip_address(f"64:ff9b::{address}"))


@given(st.integers(0, 0xFFFFFFFF).map(ipaddress.IPv4Address))
def test_every_other_ipv4_address_is_public(address: ipaddress.IPv4Address) -> None:
    is_special = any(address in ipaddress.IPv4Network(text) for text in IANA_4)
    assert is_public(address) != (is_special or str(address) == "168.63.129.16")


def test_what_the_operator_names_is_let_through(tmp_path: Path) -> None:
    outside = OutsideRule(("127.0.0.0/8", "localhost", "*.lab.example", str(tmp_path)))
    assert outside.check("http://127.0.0.1:8080/a").addresses == ("127.0.0.1",)
    assert outside.check("http://localhost/a").host == "localhost"
    assert outside.check(f"{tmp_path.as_uri()}/a").addresses == ()
    assert outside.check("https://1.1.1.1/a").addresses == ("1.1.1.1",)
    with pytest.raises(RefusedError):
        outside.check(f"{tmp_path.as_uri()}/../other")


def test_git_is_kept_to_the_address_that_was_checked() -> None:
    options = OutsideRule(("127.0.0.0/8",)).check("http://127.0.0.1:81/a").git_options
    assert "http.followRedirects=false" in options
    assert "http.curloptResolve=127.0.0.1:81:127.0.0.1" in options


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c id",
        "--upload-pack=id",
        "git@host:a/b",
        "https://user:token@host/a",
        "https:///a",
        "ssh://-oProxyCommand=id/a",
        "ssh://-oProxyCommand=id@host/a",
        "https://host/a b",
        "https://host/a\nb",
        "git://host/a",
        "",
    ],
)
def test_what_is_no_repositorys_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_url(url)
    assert "token@" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "http://[::1]:99999/a/b",
        "https://host:99999/a/b",
        "https://host:0/a/b",
        "https://host:x/a/b",
        "https://[v1.x]/a",
        "https://[fe80::1%25eth0]/a",
        "https://ho]st/a",
        "https://host./a/b",
        "https://.host/a/b",
        "https://a..b/a",
        "https://b\u00fccher.example/a/b",
        "https://host\u2044evil/a",
        "https://host\\@evil/a",
        "https://ho%73t/a",
        f"https://{'a' * 64}.example/a",
        "ssh://a b@host/a",
        "ssh://%2doProxyCommand=id@host/a",
        "ssh://git@[::1:22/a",
    ],
)
def test_a_host_or_port_that_cant_be_is_a_sentence(url: str) -> None:
    with pytest.raises(UsageError):
        check_url(url)
    with pytest.raises((UsageError, RefusedError, UnreachableError)):
        OutsideRule().check(url)


@given(
    st.builds(
        "{}://{}{}".format,
        st.sampled_from(["http", "https", "ssh"]),
        st.text("[]:@%.1af\u3002/\\?#-x"),
        st.text(),
    )
)
def test_any_text_for_a_url_is_taken_or_refused_in_words(url: str) -> None:
    for check in (check_url, check_api_url, split_url):
        with contextlib.suppress(UsageError):
            check(url)


def test_an_api_is_spoken_to_by_http_only() -> None:
    assert check_api_url("https://git.example/api/v1/") == "https://git.example/api/v1"
    for url in ("file:///etc", "ssh://git@host/a"):
        with pytest.raises(UsageError):
            check_api_url(url)


def test_ssh_is_kept_to_the_address_that_was_checked_under_the_hosts_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real git starts what GIT_SSH_COMMAND says; here that asks the real ssh what it would do, and writes it down."""
    told = tmp_path / "told"
    script = tmp_path / "ssh"
    script.write_text(f'#!/bin/sh\nssh -F none -G "$@" >> {told}\nexit 255\n')
    script.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", f"{script} -oBatchMode=yes")
    for url, alias in (
        ("ssh://git@localhost/a/b", "localhost"),
        ("ssh://git@localhost:2222/a/b", "[localhost]:2222"),
    ):
        place = OutsideRule(("127.0.0.0/8", "::1")).check(url)
        with pytest.raises(AgentError):
            Mirror(tmp_path / "mirror", place, "", limit_bytes=1000).find_default_branch()
        options = dict(line.split(" ", 1) for line in told.read_text().lower().splitlines() if " " in line)
        assert options["hostname"] == place.addresses[0]
        assert options["hostkeyalias"] == alias
        assert options["port"] == str(place.port)
        told.unlink()


def test_a_repository_that_outgrows_the_limit_is_refused_and_does_not_stay(tmp_path: Path) -> None:
    import os

    from support.git import make_repository

    files: dict[str, str | bytes] = {f"f{number}": os.urandom(200_000) for number in range(40)}
    repository = make_repository(tmp_path / "a" / "b", files)
    place = OutsideRule((str(tmp_path),)).check(repository.url)
    with pytest.raises(AgentError, match="larger than"):
        Mirror(tmp_path / "mirror", place, "", limit_bytes=100_000).refresh()
    assert not (tmp_path / "mirror").exists()
