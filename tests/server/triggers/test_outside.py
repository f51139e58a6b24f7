"""Whom the server speaks to on its own: nobody inside, unless the operator says so."""

from pathlib import Path

import pytest

from agent.errors import AgentError, RefusedError, UsageError
from agent.server.triggers.mirror import Mirror
from agent.server.triggers.outside import Outside, check_url


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
        Outside(("git.lab.example", "172.16.0.0/12", "/srv/git")).check(url)


def test_what_the_operator_names_is_let_through(tmp_path: Path) -> None:
    outside = Outside(("127.0.0.0/8", "localhost", "*.lab.example", str(tmp_path)))
    assert outside.check("http://127.0.0.1:8080/a").addresses == ("127.0.0.1",)
    assert outside.check("http://localhost/a").host == "localhost"
    assert outside.check(f"{tmp_path.as_uri()}/a").addresses == ()
    assert outside.check("https://1.1.1.1/a").addresses == ("1.1.1.1",)
    with pytest.raises(RefusedError):
        outside.check(f"{tmp_path.as_uri()}/../other")


def test_git_is_kept_to_the_address_that_was_checked() -> None:
    options = Outside(("127.0.0.0/8",)).check("http://127.0.0.1:81/a").git_options
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


def test_a_repository_that_outgrows_the_limit_is_refused_and_does_not_stay(tmp_path: Path) -> None:
    import os

    from support.git import make_repository

    files: dict[str, str | bytes] = {f"f{number}": os.urandom(200_000) for number in range(40)}
    repository = make_repository(tmp_path / "a" / "b", files)
    place = Outside((str(tmp_path),)).check(repository.url)
    with pytest.raises(AgentError, match="larger than"):
        Mirror(tmp_path / "mirror", place, "", limit_bytes=100_000).refresh()
    assert not (tmp_path / "mirror").exists()
