"""Which caches a job may read and write, by its context `github`."""

from typing import Any

import pytest

from agent.server.cache_scopes import Scopes, scopes_of

MAIN = "refs/heads/main"
PULL = {"number": 7, "pull_request": {"number": 7}, "repository": {"default_branch": "trunk"}}


@pytest.mark.parametrize(
    ("github", "is_trusted", "expected"),
    [
        ({"ref": MAIN}, True, Scopes(MAIN, (MAIN,))),
        ({"ref": "refs/heads/x"}, True, Scopes("refs/heads/x", ("refs/heads/x", MAIN))),
        ({"ref": "refs/tags/v1"}, True, Scopes("refs/tags/v1", ("refs/tags/v1", MAIN))),
        ({}, True, Scopes(None, (MAIN,))),
        (
            {"ref": "refs/pull/7/merge", "base_ref": "dev", "event": PULL, "event_name": "pull_request"},
            True,
            Scopes("refs/pull/7/merge", ("refs/pull/7/merge", "refs/heads/dev", "refs/heads/trunk")),
        ),
        (
            {"ref": "refs/pull/7/merge", "event": PULL, "event_name": "pull_request"},
            False,
            Scopes("refs/pull/7/merge", ("refs/pull/7/merge", "refs/heads/trunk")),
        ),
    ],
)
def test_a_run_writes_its_own_ref_and_reads_the_branches_it_comes_from(
    github: dict[str, Any], is_trusted: bool, expected: Scopes
) -> None:
    assert scopes_of(github, is_trusted=is_trusted) == expected


def test_a_pull_request_that_runs_on_the_default_branch_does_not_write_there() -> None:
    github = {"ref": "refs/heads/trunk", "event_name": "pull_request_target", "event": PULL}
    found = scopes_of(github, is_trusted=True)
    assert found == Scopes("refs/pull/7/merge", ("refs/pull/7/merge", "refs/heads/trunk"))


def test_a_run_that_is_not_trusted_and_is_no_pull_request_writes_nothing() -> None:
    github = {"ref": MAIN, "event_name": "issue_comment", "event": {"number": "7/../main"}}
    assert scopes_of(github, is_trusted=False) == Scopes(None, (MAIN,))
