"""A host that answers with a redirect leads nowhere that the policy doesn't let it, and the move is told."""

from pathlib import Path

import pytest
from support.git import ACTION, GitHost, make_repository

from agent.errors import NotFoundError, RefusedError
from agent.resolve import parse_reference
from agent.resolve.places import name_place
from agent.resolve.policy import Policy
from agent.resolve.reference import RepositoryReference, UrlReference
from agent.resolve.sources.moves import find_move

from .conftest import MakeResolver


@pytest.fixture
def moved(tmp_path: Path, host: GitHost) -> GitHost:
    """`acme/tools` has moved to `evil/tools`."""
    make_repository(tmp_path / "git" / "evil" / "tools", {"action.yml": ACTION.replace("hello", "moved")})
    host.moves["/acme/tools"] = "/evil/tools"
    return host


def places(host: GitHost) -> str:
    return f"{host.url}/{{owner}}/{{repo}}"


@pytest.mark.parametrize(
    "text", ["acme/tools@v1", "URL/acme/tools@v1", "acme/tools@COMMIT", "acme/tools@main"]
)
def test_a_repository_that_moved_is_found_and_the_move_is_told(
    text: str, moved: GitHost, make_resolver: MakeResolver, tmp_path: Path
) -> None:
    commit = (tmp_path / "git/evil/tools/.git/refs/heads/main").read_text().strip()
    text = text.replace("URL", moved.url).replace("COMMIT", commit)
    action = make_resolver(places(moved)).resolve(parse_reference(text))
    assert action.manifest.name == "moved"
    assert action.origin == f"{moved.url}/evil/tools"
    told = f"{moved.url}/acme/tools has moved to {moved.url}/evil/tools; write the new address"
    assert told in action.warnings


@pytest.mark.parametrize(
    ("policy", "ref"),
    [
        (Policy("policy.toml", deny=("evil/*",)), "v1"),
        (Policy("policy.toml", deny=("evil/*",)), "COMMIT"),
        (Policy("policy.toml", deny=("EVIL/tools@v1",)), "v1"),
        (Policy("policy.toml", allow=("acme/*",)), "v1"),
        (Policy("policy.toml", allow=("acme/*",)), "COMMIT"),
    ],
)
def test_a_redirect_does_not_lead_past_the_policy(
    policy: Policy, ref: str, moved: GitHost, make_resolver: MakeResolver, tmp_path: Path
) -> None:
    commit = (tmp_path / "git/evil/tools/.git/refs/heads/main").read_text().strip()
    resolver = make_resolver(places(moved), policy=policy)
    with pytest.raises(RefusedError, match="policy of this machine"):
        resolver.resolve(parse_reference(f"acme/tools@{ref.replace('COMMIT', commit)}"))
    assert not any("/evil/tools" in request for request in moved.requests)


def test_a_policy_that_allows_the_new_place_lets_it(moved: GitHost, make_resolver: MakeResolver) -> None:
    resolver = make_resolver(places(moved), policy=Policy("policy.toml", allow=("acme/*", "evil/*")))
    assert resolver.resolve(parse_reference("acme/tools@v1")).manifest.name == "moved"


def test_a_redirect_to_another_host_is_judged_by_its_address(
    moved: GitHost, make_resolver: MakeResolver
) -> None:
    moved.moves["/acme/tools"] = moved.url.replace("127.0.0.1", "localhost") + "/evil/tools"
    resolver = make_resolver(places(moved), policy=Policy("policy.toml", allow=("acme/*", "evil/*")))
    with pytest.raises(RefusedError, match="policy of this machine"):
        resolver.resolve(parse_reference("acme/tools@v1"))


def test_a_redirect_to_our_own_name_is_refused(moved: GitHost, make_resolver: MakeResolver) -> None:
    moved.moves["/acme/tools"] = "/flow-agent/checkout"
    with pytest.raises(RefusedError, match="reserved"):
        make_resolver(places(moved)).resolve(parse_reference("acme/tools@v1"))


def test_a_circle_of_redirects_ends(moved: GitHost, make_resolver: MakeResolver) -> None:
    moved.moves |= {"/acme/tools": "/b/tools", "/b/tools": "/acme/tools"}
    with pytest.raises(NotFoundError, match="has moved"):
        make_resolver(places(moved)).resolve(parse_reference("acme/tools@v1"))
    assert len(moved.requests) < 30


@pytest.mark.parametrize(
    "target",
    [
        *("file:///etc", "ssh://git@h/a", "http://me:pw@h/a", "ext::sh", "http://h:port/a", "http://h/a b"),
        *("/login?next=", "http://h/a?x="),
    ],
)
def test_a_redirect_to_what_is_no_place_for_git_leads_nowhere(target: str, moved: GitHost) -> None:
    moved.moves["/acme/tools"] = target
    assert find_move(f"{moved.url}/acme/tools") == ""


def test_a_place_has_the_name_that_a_flow_would_write() -> None:
    old = UrlReference("https://old/x", "sub", "v1")
    templates = [
        "file:///srv/git/one",
        "https://github.com/{owner}/{repo}",
        "https://git.lab/g/{owner}/{repo}.git",
    ]
    named = RepositoryReference("a", "b", "sub", "v1")
    for url in ("https://github.com/a/b", "https://GitHub.com/a/b.git", "https://git.lab/g/a/b"):
        assert name_place(templates, url, old) == named
    for url in ("https://github.com/a/b/c", "http://github.com/a/b", "https://evil/https://github.com/a/b"):
        assert name_place(templates, url, old) == UrlReference(url, "sub", "v1")
