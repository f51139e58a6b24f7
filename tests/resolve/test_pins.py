"""Pinned references: exactly that commit, whatever the tag says now."""

import shutil
from pathlib import Path

import pytest
from support.git import ACTION, GitHost, Repository, make_repository

from agent.errors import NotFoundError, RefusedError
from agent.resolve import Pins, ResolvedAction, Resolver, parse_reference
from agent.resolve.pins import pin_key

from .conftest import MakeResolver

COMPOSITE = """name: outer
runs:
  using: composite
  steps: [{uses: acme/tools@v1}]
"""


def resolve(resolver: Resolver, text: str) -> ResolvedAction:
    return resolver.resolve(parse_reference(text))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(
        tmp_path / "git" / "acme" / "tools", {"action.yml": ACTION, "sub/action.yml": ACTION}
    )


def test_a_tag_that_moved_after_it_was_pinned_is_not_followed(
    repository: Repository, make_resolver: MakeResolver
) -> None:
    pinned = repository.head
    repository.commit({"action.yml": ACTION.replace("hello", "moved")}, tags=["v1"])
    for text in ("acme/tools@v1", "acme/tools/sub@v1"):
        action = resolve(make_resolver(pins=Pins({"acme/tools@v1": pinned})), text)
        assert action.commit == pinned
        assert action.manifest.name == "hello"
        assert action.warnings == ()


def test_a_pin_of_a_full_address_counts_for_that_address_only(
    repository: Repository, make_resolver: MakeResolver
) -> None:
    pinned = repository.head
    moved = repository.commit({"more": "x"}, tags=["v1"])
    pins = Pins({f"{repository.url}@v1": pinned})
    assert resolve(make_resolver(pins=pins), f"{repository.url}@v1").commit == pinned
    assert resolve(make_resolver(pins=pins), f"{repository.url}//sub@v1").commit == pinned
    assert resolve(make_resolver(pins=pins), "acme/tools@v1").commit == moved


def test_a_pinned_action_that_is_here_needs_no_network(
    repository: Repository, make_resolver: MakeResolver
) -> None:
    pins = {"acme/tools@v1": repository.head}
    resolve(make_resolver(pins=Pins(pins)), "acme/tools@v1")
    shutil.rmtree(repository.folder)
    assert resolve(make_resolver(pins=Pins(pins)), "acme/tools@v1").warnings == ()


def test_what_the_lock_does_not_name_is_used_as_it_is_now_and_said_once(
    repository: Repository, make_resolver: MakeResolver
) -> None:
    resolver = make_resolver(pins=Pins({}))
    action = resolve(resolver, "acme/tools@v1")
    assert action.commit == repository.head
    (warning,) = action.warnings
    assert "'acme/tools@v1' is not in flow.lock" in warning
    assert resolve(resolver, "acme/tools/sub@v1").warnings == ()


def test_a_full_commit_and_a_shipped_action_need_no_pin(
    repository: Repository, make_resolver: MakeResolver
) -> None:
    resolver = make_resolver(pins=Pins({}))
    for text in (f"acme/tools@{repository.head}", "flow-agent/checkout@v1"):
        assert resolve(resolver, text).warnings == ()


def test_without_a_lock_nothing_is_said(repository: Repository, make_resolver: MakeResolver) -> None:
    assert resolve(make_resolver(pins=Pins(None)), "acme/tools@v1").warnings == ()


def test_a_pin_that_is_gone_is_an_error_that_names_it(
    repository: Repository, make_resolver: MakeResolver
) -> None:
    gone = "ab" * 20
    with pytest.raises(NotFoundError, match=f"'acme/tools@v1' is pinned to {gone}") as raised:
        resolve(make_resolver(pins=Pins({"acme/tools@v1": gone})), "acme/tools@v1")
    assert "agent action update" in raised.value.hint


@pytest.mark.parametrize(
    "pin", ["", "v1", "main", "--upload-pack=touch x", "abc1234", "A" * 40, "a" * 41, "x\n"]
)
def test_a_pin_that_is_no_commit_is_refused_and_git_never_sees_it(
    pin: str, repository: Repository, make_resolver: MakeResolver
) -> None:
    with pytest.raises(RefusedError, match="is not a commit"):
        resolve(make_resolver(pins=Pins({"acme/tools@v1": pin})), "acme/tools@v1")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("acme/tools@v1", "acme/tools@v1"),
        ("acme/tools/deep/down@release/2", "acme/tools@release/2"),
        ("https://git.example.org/acme/tools/sub@v1", "https://git.example.org/acme/tools@v1"),
        ("https://git.example.org/a/b/c.git/sub@v1", "https://git.example.org/a/b/c.git@v1"),
        ("https://git.example.org/a/b/c//sub@v1", "https://git.example.org/a/b/c//@v1"),
        ("ssh://git@git.example.org/a/b@v1", "ssh://git@git.example.org/a/b@v1"),
        ("file:///srv/git/tools//sub@v1", "file:///srv/git/tools@v1"),
        ("acme/tools@" + "a" * 40, ""),
        ("acme/tools@" + "a" * 39, "acme/tools@" + "a" * 39),
        ("./local", ""),
        ("$/own", ""),
        ("flow-agent/checkout@v1", ""),
        ("flow-agent/checkout@v2", "flow-agent/checkout@v2"),
        ("docker://alpine:3.20", "docker://alpine:3.20"),
        ("docker://alpine@sha256:" + "a" * 64, ""),
    ],
)
def test_a_key_names_a_repository_at_a_ref_and_means_the_same_when_it_is_read_again(
    text: str, key: str
) -> None:
    assert pin_key(parse_reference(text)) == key
    if key:
        assert pin_key(parse_reference(key)) == key


def test_a_pinned_commit_that_came_from_a_later_place_is_asked_of_no_earlier_one(
    repository: Repository, make_resolver: MakeResolver, host: GitHost, tmp_path: Path
) -> None:
    places = (f"{host.url}/elsewhere/{{owner}}/{{repo}}", f"file://{tmp_path}/git/{{owner}}/{{repo}}")
    pins = {"acme/tools@v1": repository.head}
    assert resolve(make_resolver(*places, pins=Pins(pins)), "acme/tools@v1").origin == repository.url
    asked = len(host.requests)
    assert asked
    assert resolve(make_resolver(*places, pins=Pins(pins)), "acme/tools@v1").commit == repository.head
    assert len(host.requests) == asked
