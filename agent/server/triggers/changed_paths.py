"""The files that an event changed, as the event itself says what was there before: branches have moved on when it is worked off.

Source: GitHub's documentation, "Workflow syntax", on `paths`: of a push what lies between its two ends; of a new branch what came
since the parent of its deepest new commit; of a request to merge what came since it left its base.
"""

from typing import NamedTuple

from agent.server.store.repositories import RepositoryRow
from agent.server.triggers.delivery import Delivery, PullRequest, branch_ref, items, part, text
from agent.server.triggers.locating import head_ref
from agent.server.triggers.mirror import MOST_COMMITS, Mirror


class ChangedPaths(NamedTuple):
    """The files; None: they can't be known, so that path filters let the event pass, and `why` says it."""

    paths: tuple[str, ...] | None
    why: str = ""


def find_changed(mirror: Mirror, delivery: Delivery, repository: RepositoryRow) -> ChangedPaths:
    """The files that the delivery changed. Blocks."""
    if delivery.pull is not None:
        return _of_request(mirror, delivery, delivery.pull, repository)
    if delivery.event != "push" or not delivery.ref.startswith("refs/heads/"):
        return ChangedPaths(None)
    if delivery.before:
        return _of_push(mirror, delivery.before, delivery.after)
    return _of_new_branch(mirror, delivery)


def _of_push(mirror: Mirror, before: str, after: str) -> ChangedPaths:
    if not mirror.fetch(before):
        return ChangedPaths(None, f"commit {before[:12]}, which was there before, is gone")
    if mirror.count_commits(before, after) > MOST_COMMITS:
        return ChangedPaths(None, f"the push is of more than {MOST_COMMITS} commits")
    return ChangedPaths(mirror.diff(before, after))


def _of_new_branch(mirror: Mirror, delivery: Delivery) -> ChangedPaths:
    """Against the parent of the deepest commit that was new then, as the event names them, or is in no other branch now."""
    new = mirror.list_new(delivery.ref, delivery.after)
    if len(new) > MOST_COMMITS:
        return ChangedPaths(None, f"the branch is new, with more than {MOST_COMMITS} commits")
    named = [text(commit, "id") for commit in items(delivery.payload, "commits")]
    deepest = mirror.find_deepest(delivery.after, {*named, *new})
    if not deepest:
        return ChangedPaths(None, "the branch is new, and each of its commits was there before")
    return ChangedPaths(mirror.diff(next(iter(mirror.parents(deepest)), ""), delivery.after))


def _of_request(
    mirror: Mirror, delivery: Delivery, pull: PullRequest, repository: RepositoryRow
) -> ChangedPaths:
    if not mirror.fetch(pull.head, head_ref(repository, pull.number)):
        return ChangedPaths(None, f"its head, commit {pull.head[:12]}, is gone")
    for base in (pull.base, _first_parent(mirror, delivery), mirror.find(branch_ref(pull.base_branch))):
        left = mirror.merge_base(base, pull.head) if base and mirror.fetch(base) else ""
        if left and left != pull.head:  # else the base has the head by now
            return ChangedPaths(mirror.diff(left, pull.head))
    return ChangedPaths(None, "where the request left its base can't be seen any more")


def _first_parent(mirror: Mirror, delivery: Delivery) -> str:
    """What the base branch was before the request was merged into it; "" where it was not, or by other ways."""
    merged = text(part(delivery.payload, "pull_request"), "merge_commit_sha")
    if not mirror.fetch(merged):
        return ""
    parents = mirror.parents(merged)
    return parents[0] if len(parents) > 1 else ""
