"""What `uses:` names, and what it may not name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import UsageError
from agent.redaction import redact
from agent.resolve.reference import (
    ImageReference,
    RepositoryReference,
    SelfReference,
    UrlReference,
    WorkspaceReference,
    check_segments,
    parse_reference,
)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("actions/checkout@v4", RepositoryReference("actions", "checkout", "", "v4")),
        ("a/b/some/path@main", RepositoryReference("a", "b", "some/path", "main")),
        ("a/b//path/@feature/x", RepositoryReference("a", "b", "path", "feature/x")),
        ("a/.github/act@v1.2.3-rc.1", RepositoryReference("a", ".github", "act", "v1.2.3-rc.1")),
        ("./", WorkspaceReference("")),
        ("./.github/actions/train/", WorkspaceReference(".github/actions/train")),
        ("$/", SelfReference("")),
        ("$/actions/train", SelfReference("actions/train")),
        ("docker://ghcr.io/a/b:1@sha256:00", ImageReference("ghcr.io/a/b:1@sha256:00")),
        ("https://git.example.org/a/b@v1", UrlReference("https://git.example.org/a/b", "", "v1")),
        ("https://h:8443/a/b/deep/path@v1", UrlReference("https://h:8443/a/b", "deep/path", "v1")),
        ("https://h/g/sub/repo.git/path@v1", UrlReference("https://h/g/sub/repo.git", "path", "v1")),
        ("https://h/g/sub/repo//path/x@v1", UrlReference("https://h/g/sub/repo", "path/x", "v1")),
        ("HTTPS://h/a/b@v1", UrlReference("https://h/a/b", "", "v1")),
        ("ssh://git@h:22/a/b.git@v1", UrlReference("ssh://git@h:22/a/b.git", "", "v1")),
        ("file:///srv/git/tools@v1", UrlReference("file:///srv/git/tools", "", "v1")),
        ("file:///srv/git/a/tools.git/path@v1", UrlReference("file:///srv/git/a/tools.git", "path", "v1")),
        ("file:///srv/git/tools/.git@v1", UrlReference("file:///srv/git/tools/.git", "", "v1")),
        ("file:///srv/a/b/c//path@v1", UrlReference("file:///srv/a/b/c", "path", "v1")),
    ],
)
def test_each_form_is_read(text: str, reference: object) -> None:
    assert parse_reference(text) == reference


@pytest.mark.parametrize(
    "text",
    ["a/b@v1", "a/b/c@v1", "./x", "$/x", "docker://alpine", "https://h/a/b@v1", "https://h/a/b/c//d@v1"],
)
def test_a_reference_printed_is_the_same_reference(text: str) -> None:
    reference = parse_reference(text)
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "checkout",
        "checkout@v1",
        "a/b",
        "a/b@",
        "a/b@v1@v2",
        "/a/b@v1",
        " a/b@v1",
        "a/b@v1\n",
        "a/b@v1\x00",
        "a/b@v1\u202e",
        "-a/b@v1",
        "../b@v1",
        "a/..@v1",
        "a/b/../c@v1",
        "a/b/.git/hooks@v1",
        "a/b/--upload-pack=x@v1",
        "a/b\\c@v1",
        "a/b/c\\d@v1",
        "a/b@--upload-pack=touch /tmp/x",
        "a/b@-v1",
        "a/b@v1..v2",
        "a/b@v1^{}",
        "a/b@HEAD~1",
        "a/b@refs/heads/*",
        "a/b@x.lock",
        "a/b@/x",
        "a/b@x//y",
        "a/b@@{-1}",
        "./../x",
        "./x/../../y",
        "$/../x",
        "./.git/x",
        "docker://",
        "docker://-v/:/host",
        "docker://a b",
        "ext::sh -c 'touch /tmp/x'@v1",
        "ext::sh@v1",
        "ext://x/a/b@v1",
        "git://h/a/b@v1",
        "fd::17/a/b@v1",
        "https://h/a/b",
        "https://h@v1",
        "https://h/@v1",
        "https:///a/b@v1",
        "https://h:port/a/b@v1",
        "https://[::1/a/b@v1",
        "https://h/a/b?x=1@v1",
        "https://h/a/b#x@v1",
        "https://h/a/../b@v1",
        "https://h/-a/b@v1",
        "https://h/a/b%0a@v1",
        "https://h/a/b@-v1",
        "https://h/a/b//../c@v1",
        "https://-oProxyCommand=x/a/b@v1",
        "ssh://-oProxyCommand=x/a/b@v1",
        "ssh://-l@h/a/b@v1",
        "ssh://git:pw@h/a/b@v1",
        "file://host/a/b@v1",
        "file:///srv/../etc@v1",
        "x" * 3000 + "/b@v1",
    ],
)
def test_what_could_harm_or_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="Expected format") as caught:
        parse_reference(text)
    assert caught.value.hint
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "https://hunter2@h/a/b@v1",
        "https://user:hunter2@h/a/b@v1",
        "https://user:hunter2@h/a/b",
        "https://user:hun@hunter2@h/a/b@v1",
        "http://x-access-token:hunter2@h/a/b@v1",
        "ssh://git:hunter2@h/a/b@v1",
        "ftp://user:hunter2@h/a/b@v1",
        "https://user:hunter2@h/" + "a" * 3000,
    ],
)
def test_credentials_are_refused_and_never_shown(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference(text)
    assert "hunter2" not in str(caught.value)


def test_redacting_keeps_what_is_no_secret() -> None:
    assert redact("ssh://git@h/a and https://h/a@v1") == "ssh://git@h/a and https://h/a@v1"
    assert redact("fatal: https://me:pw@h/a.git/ not found") == "fatal: https://***@h/a.git/ not found"


def test_the_way_that_git_writes_ssh_addresses_is_answered_with_the_url() -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference("git@github.com:acme/tools@v1")
    assert "ssh://git@github.com/acme/tools@v1" in caught.value.hint


@given(st.text(max_size=60) | st.from_regex(r"\A[a-z./$@:-]{1,40}\Z"))
def test_any_text_is_read_into_a_safe_reference_or_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except UsageError:
        return
    assert not check_segments(getattr(reference, "path", ""))
    assert not getattr(reference, "ref", "v1").startswith("-")
    assert parse_reference(str(reference)) == reference
