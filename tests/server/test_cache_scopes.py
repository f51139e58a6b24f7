"""Which caches a job may read and write, by the branch that the server has found its run on."""

import pytest

from agent.server.data.cache_scopes import Scopes, choose_scope, scopes_of
from agent.server.store.run_branches import RunBranch

MAIN, TRUNK, PULL = "refs/heads/main", "refs/heads/trunk", "refs/pull/7/merge"


def on(ref: str, base: str = "", scope: str | None = None) -> RunBranch:
    return RunBranch("repo_1", ref, "1" * 40, base, ref if scope is None else scope)


@pytest.mark.parametrize(
    ("branch", "expected"),
    [
        (on(MAIN), Scopes(MAIN, (MAIN,))),
        (on("refs/heads/x"), Scopes("refs/heads/x", ("refs/heads/x", MAIN))),
        (on("refs/tags/v1"), Scopes("refs/tags/v1", ("refs/tags/v1", MAIN))),
        (on(PULL, "refs/heads/dev"), Scopes(PULL, (PULL, "refs/heads/dev", MAIN))),
        (on(MAIN, MAIN, PULL), Scopes(PULL, (PULL, MAIN))),
        (on(MAIN, scope=""), Scopes(None, (MAIN,))),
        (None, Scopes("user/ada", ("user/ada", MAIN))),
    ],
)
def test_a_run_writes_its_own_scope_and_reads_the_branches_it_comes_from(
    branch: RunBranch | None, expected: Scopes
) -> None:
    assert scopes_of(branch, (MAIN,), otherwise="user/ada") == expected


def test_every_default_branch_of_the_project_is_read_and_without_one_none() -> None:
    assert scopes_of(on(PULL), (MAIN, TRUNK), otherwise=None).read == (PULL, MAIN, TRUNK)
    assert scopes_of(None, (), otherwise=None) == Scopes(None, ())


@pytest.mark.parametrize(
    ("event", "ref", "pull", "is_trusted", "expected"),
    [
        ("push", MAIN, None, True, MAIN),
        ("pull_request", PULL, 7, True, PULL),
        ("pull_request", PULL, 7, False, PULL),
        ("pull_request", MAIN, 7, False, PULL),  # it was merged
        ("pull_request", "refs/merge-requests/7/head", 7, False, PULL),
        ("pull_request_target", TRUNK, 7, True, PULL),
        ("pull_request_target", TRUNK, None, True, ""),
        ("issue_comment", MAIN, None, False, ""),
    ],
)
def test_what_a_stranger_has_a_part_in_is_never_written_where_a_branch_reads(
    event: str, ref: str, pull: int | None, is_trusted: bool, expected: str
) -> None:
    assert choose_scope(event, ref, pull, is_trusted=is_trusted) == expected
