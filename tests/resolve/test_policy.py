"""The owner's policy: what it allows, and the disguises that don't help against it."""

from pathlib import Path

import pytest
from support.git import Repository, make_repository

from agent.errors import NotFoundError, RefusedError, UsageError
from agent.resolve import Pins, Policy, load_policy, parse_reference
from agent.resolve.reference import ImageReference, UrlReference

from .conftest import MakeResolver


def is_allowed(text: str, *, place: str = "https://github.com", ref: str = "", **rules: object) -> bool:
    """Whether a policy of `rules` lets `text` in, with `place` as the only configured one."""
    policy = Policy("policy.toml", **rules)  # type: ignore[arg-type]
    reference = parse_reference(text)
    try:
        if isinstance(reference, ImageReference):
            policy.check_image(reference)
            return True
        url = getattr(reference, "url", "") or f"{place}/{reference.owner}/{reference.repository}"  # type: ignore[union-attr]
        return policy.choose_places(reference, [url], ref or reference.ref) == (url,)  # type: ignore[union-attr, arg-type]
    except RefusedError:
        return False


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("actions/*", ["actions/checkout@v4", "actions/cache/save@v4"], ["acme/actions@v1", "actionsx/a@v1"]),
        ("acme/**", ["acme/a@v1", "acme/a/b/c@v1"], ["acmex/a@v1", "other/acme@v1"]),
        ("acme/tools", ["acme/tools@v1", "acme/tools/sub@v1"], ["acme/tools2@v1", "acme/tool@v1"]),
        ("acme/tools/sub", ["acme/tools/sub@v1"], ["acme/tools@v1", "acme/tools/other@v1"]),
        ("acme/tools@v*", ["acme/tools@v1", "acme/tools/sub@v2"], ["acme/tools@main", "acme/tools@v/1"]),
        ("acme/lib-*", ["acme/lib-a@v1"], ["acme/lib@v1"]),
        ("**", ["a/b@v1", "https://h.example/a/b@v1", "docker://alpine:3"], []),
        (
            "https://git.example.org/**",
            ["https://git.example.org/a/b@v1", "https://git.example.org:443/a/b.git@v1"],
            ["http://git.example.org/a/b@v1", "https://git.example.org.evil/a/b@v1", "ssh://git.example.org/a/b@v1"],
        ),
        ("https://h.example/acme/tools", ["https://h.example/acme/tools/sub@v1"], ["https://h.example/acme/tools/e.git@v1"]),
        ("https://github.com/acme/*", ["acme/tools@v1"], ["other/tools@v1"]),
        ("acme/*", [], ["https://evil.example/acme/tools@v1", "ACME/tools@v1"]),
        ("docker://alpine:*", ["docker://alpine:3.20"], ["docker://alpine", "docker://evil/alpine:3"]),
    ],
)  # fmt: skip
def test_allow_meets_exactly_what_it_says(pattern: str, yes: list[str], no: list[str]) -> None:
    for text in yes:
        assert is_allowed(text, allow=(pattern,)), text
    for text in no:
        assert not is_allowed(text, allow=(pattern,)), text


@pytest.mark.parametrize(
    "disguise",
    [
        "evil/tools@v1",
        "EVIL/Tools@v1",
        "evil/tools/sub@v1",
        "evil/tools.git@v1",
        "https://github.com/evil/tools@v1",
        "http://github.com/evil/tools@v1",
        "https://github.com:443/evil/tools@v1",
        "https://github.com:8443/evil/tools.git@v1",
        "https://GITHUB.com./evil/tools@v1",
        "https://github.com/%65vil/tools@v1",
        "https://github.com//evil/tools.git@v1",
        "https://mirror.example/github/evil/tools.git@v1",
        "ssh://git@github.com/evil/tools@v1",
        "file:///srv/git/evil/tools.git@v1",
        "file:///srv/git/evil/tools//sub@v1",
    ],
)
def test_deny_looks_through_disguises(disguise: str) -> None:
    assert not is_allowed(disguise, deny=("evil/*",), allow=("**",))
    assert not is_allowed(disguise, deny=("evil/tools",))


@pytest.mark.parametrize(
    "disguise", ["evil/tools@v1", "ssh://git@github.com/evil/tools@v1", "http://GitHub.com/Evil/tools@v1"]
)
def test_a_denied_address_is_denied_however_it_is_reached(disguise: str) -> None:
    assert not is_allowed(disguise, deny=("https://github.com/evil/**",))
    assert is_allowed(disguise, deny=("https://gitlab.com/evil/**",))


def test_deny_beats_allow_and_an_empty_allow_allows_nothing() -> None:
    assert not is_allowed("acme/tools@v1", allow=("acme/tools",), deny=("acme/tools",))
    assert not is_allowed("acme/tools@v1", allow=())
    assert is_allowed("acme/tools@v1", deny=("acme/other",))


def test_a_denied_ref_is_denied_in_full_and_by_its_pin() -> None:
    bad = "b" * 40
    for ref in ("main", "MAIN", "refs/heads/main", "refs/tags/main"):
        assert not is_allowed(f"acme/tools@{ref}", deny=("*/*@main",))
    assert not is_allowed("acme/tools@v1", ref=bad, deny=(f"acme/tools@{bad}",))
    assert not is_allowed("acme/tools@main", ref=bad, deny=("*/*@main",))


def test_an_allowed_ref_does_not_allow_what_a_lock_says_it_is() -> None:
    bad = "b" * 40
    assert not is_allowed("acme/tools@v1", ref=bad, allow=("acme/tools@v1",))
    assert is_allowed("acme/tools@v1", ref=bad, allow=(f"acme/tools@{bad}",))


@pytest.mark.parametrize(
    "text", ["https://h.example/good/%2e%2e/evil@v1", "https://h.example/good/%2E%2e/evil.git@v1"]
)
def test_an_address_that_climbs_in_code_is_no_address(text: str) -> None:
    with pytest.raises(UsageError):
        parse_reference(text)


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "policy.toml"
    file.write_text(text)
    return file


def test_a_policy_file_is_read(tmp_path: Path) -> None:
    file = write(tmp_path, '[actions]\nallow = ["actions/*"]\ndeny = ["*/*@main"]\nrequire_pins = true\n')
    assert load_policy(file) == Policy(str(file), ("actions/*",), ("*/*@main",), requires_pins=True)


def test_without_a_file_all_is_allowed_unless_it_was_named(tmp_path: Path) -> None:
    assert load_policy(None) == load_policy(tmp_path / "none.toml") == Policy()
    with pytest.raises(UsageError, match="there is no policy file"):
        load_policy(tmp_path / "none.toml", must_exist=True)


@pytest.mark.parametrize(
    "text",
    [
        "[actions]\nalow = []",
        "[action]\ndeny = []",
        "actions = 1",
        "[actions]\ndeny = 'evil/*'",
        "[actions]\ndeny = [1]",
        "[actions]\ndeny = ['evil']",
        "[actions]\ndeny = ['*']",
        "[actions]\nrequire_pins = 'yes'",
        "[actions\n",
        "a = " + "[" * 100_000,
    ],
)  # fmt: skip
def test_a_policy_that_is_not_understood_is_an_error_and_not_a_permission(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as raised:
        load_policy(write(tmp_path, text))
    assert str(tmp_path / "policy.toml") in raised.value.where


def test_a_policy_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read"):
        load_policy(tmp_path)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "git" / "acme" / "tools")


def test_a_refusal_names_the_action_the_file_and_the_rule(
    repository: Repository, make_resolver: MakeResolver
) -> None:
    resolver = make_resolver(policy=Policy("/etc/policy.toml", deny=("acme/*",)))
    for text in ("acme/tools@v1", f"{repository.url}@v1"):
        with pytest.raises(RefusedError) as raised:
            resolver.resolve(parse_reference(text))
        assert raised.value.where == text
        assert raised.value.hint == '/etc/policy.toml: deny = "acme/*"'


def test_a_place_that_is_not_allowed_is_not_asked(
    tmp_path: Path, repository: Repository, make_resolver: MakeResolver
) -> None:
    elsewhere = make_repository(tmp_path / "elsewhere" / "acme" / "tools")
    elsewhere.commit({"more": "x"}, tags=["v1"])
    places = [f"file://{tmp_path}/{name}/{{owner}}/{{repo}}" for name in ("elsewhere", "git")]
    policy = Policy("p", allow=(f"file://{tmp_path}/git/**",))
    found = make_resolver(*places, policy=policy).resolve(parse_reference("acme/tools@v1"))
    assert (found.commit, found.origin) == (repository.head, repository.url)
    with pytest.raises(NotFoundError):
        make_resolver(*places, policy=policy).resolve(parse_reference("acme/absent@v1"))


def test_shipped_actions_need_no_allow_but_can_be_denied(make_resolver: MakeResolver) -> None:
    reference = parse_reference("flow-agent/checkout@v1")
    assert make_resolver(policy=Policy("p", allow=(), requires_pins=True)).resolve(reference).manifest.name
    with pytest.raises(RefusedError):
        make_resolver(policy=Policy("p", deny=("flow-agent/checkout",))).resolve(reference)


def test_required_pins_refuse_what_is_neither_a_commit_nor_pinned(
    repository: Repository, make_resolver: MakeResolver
) -> None:
    policy = Policy("p", requires_pins=True)
    for pins in (None, {}, {"acme/tools@v2": repository.head}):
        with pytest.raises(RefusedError, match="doesn't allow") as raised:
            make_resolver(policy=policy, pins=Pins(pins)).resolve(parse_reference("acme/tools@v1"))
        assert "require_pins" in raised.value.hint
    pinned = make_resolver(policy=policy, pins=Pins({"acme/tools@v1": repository.head}))
    assert pinned.resolve(parse_reference("acme/tools@v1")).commit == repository.head
    by_commit = parse_reference(f"acme/tools@{repository.head}")
    assert make_resolver(policy=policy).resolve(by_commit).commit == repository.head


def test_a_credential_of_a_place_is_in_no_refusal(make_resolver: MakeResolver) -> None:
    with pytest.raises(RefusedError) as raised:
        make_resolver("https://user:secret@h.example/{owner}/{repo}", policy=Policy("p", allow=())).resolve(
            UrlReference("https://h.example/a/b", "", "v1")
        )
    assert "secret" not in str(raised.value)
