"""The commit that an event of a repository is about, and the ref that its runs say they are on.

| event | flows and code of | `ref` | status on |
| --- | --- | --- | --- |
| push | the pushed commit | what was pushed | that commit |
| pull_request, its reviews | the merge of head and base (where the host makes one, else the head) | `refs/pull/N/merge` | the head |
| the same, when it is closed | the merged commit; of one that was not merged, its merge or head | the base branch; `refs/pull/N/merge` | the head |
| pull_request_target | the default branch | the default branch | the head |
| merge_group | the group's commit | the group's ref | that commit |
| deployment, deployment_status | the commit that is deployed | its branch or tag; empty where it was a commit | that commit |
| release | the tag's commit | the tag | that commit |
| create | the tag or branch | it | its commit |
| registry_package | the package's commit | its tag or branch | that commit |
| everything else | the default branch | the default branch | its commit |

Source: GitHub's documentation, "Events that trigger workflows", as of December 2025 for pull_request_target.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from agent.errors import UnreachableError
from agent.resolve.sources.git import is_commit
from agent.server.store.repositories import RepositoryRow
from agent.server.triggers.delivery import PULL_EVENTS, Delivery, PullRequest, branch_ref, part, text
from agent.server.triggers.mirror import Mirror

_MERGE_REFS: Final = {"github": "refs/pull/{}/merge", "gitlab": "refs/merge-requests/{}/merge"}
_HEAD_REFS: Final = {"gitlab": "refs/merge-requests/{}/head"}
_DEFAULT_HEAD_REF: Final = "refs/pull/{}/head"
_MOST_WAITS: Final = 4  # for a merge that the host has yet to make
_PUSHED_REFS: Final = ("refs/heads/", "refs/tags/")


@dataclass(frozen=True, slots=True)
class CommitTarget:
    """The commit that an event is about; `commit` "": nothing starts, `why` says it."""

    ref: str = ""
    commit: str = ""
    reported: str = ""  # the commit that statuses go to
    is_trusted: bool = True
    why: str = ""


class NotYetError(UnreachableError):
    """The host has not done its part yet: to be tried again a little later."""


def explain_nothing(delivery: Delivery) -> str:
    """Why an event starts no flow whatever the repository holds, by its payload alone; "" when it may."""
    payload = delivery.payload
    if delivery.event == "push":
        if not delivery.ref.startswith(_PUSHED_REFS):
            return f"a push to '{delivery.ref[:200]}' starts no flows: pushes of branches and tags do"
        if not delivery.after:
            return f"{delivery.ref} was deleted; `on: delete` is the event for that"
    if delivery.event == "deployment_status" and text(payload, "deployment_status", "state") == "inactive":
        return "a deployment that becomes inactive starts no flows"
    if (
        delivery.event == "release"
        and part(payload, "release", "draft") is True
        and delivery.action in ("created", "edited", "deleted")
    ):
        return "what becomes of a draft of a release starts no flows"
    return ""


def head_ref(repository: RepositoryRow, number: int) -> str:
    """The ref at which the repository's host has the head of a request to merge."""
    return _HEAD_REFS.get(repository.provider, _DEFAULT_HEAD_REF).format(number)


class Locator:
    """Finds the commit of one delivery in a mirror. Blocks. `attempt`: how often it was looked for, from 1."""

    def __init__(self, mirror: Mirror, delivery: Delivery, repository: RepositoryRow, attempt: int) -> None:
        self._mirror = mirror
        self._delivery = delivery
        self._repository = repository
        self._attempt = attempt

    def locate(self, event: str) -> CommitTarget:
        """The target of `event`, one of those that the delivery stands for. Raises NotYetError."""
        pull = self._delivery.pull
        if pull is not None and event in PULL_EVENTS and event != "pull_request_target":
            return self._locate_request(pull)
        find = _WAYS.get(event)
        return find(self) if find is not None else self._locate_default()

    def _locate_default(self) -> CommitTarget:
        pull = self._delivery.pull
        ref = branch_ref(self._repository.default_branch)
        commit = self._mirror.find(ref)
        reported = pull.head if pull is not None else commit
        return CommitTarget(ref, commit, reported, why="" if commit else f"the repository has no {ref}")

    def _locate_push(self) -> CommitTarget:
        ref, after = self._delivery.ref, self._delivery.after
        if ref.startswith("refs/tags/"):
            return self._locate_tag(ref, after)
        if not self._mirror.fetch(after):
            return CommitTarget(why=_gone(after))
        return CommitTarget(ref, after, after)

    def _locate_tag(self, ref: str, after: str) -> CommitTarget:
        """What was pushed, which for an annotated tag is an object of its own; whatever the tag is by now."""
        if not self._mirror.find(ref):
            return CommitTarget(why=f"{ref} was deleted since")
        commit = self._mirror.peel(after)
        return CommitTarget(ref, commit, commit, why="" if commit else _gone(after))

    def _locate_group(self) -> CommitTarget:
        ref = text(self._delivery.payload, "merge_group", "head_ref")
        commit = text(self._delivery.payload, "merge_group", "head_sha")
        if not self._mirror.fetch(commit, ref):
            return CommitTarget(why=_gone(commit))
        return CommitTarget(ref, commit, commit)

    def _locate_deployed(self) -> CommitTarget:
        facts = part(self._delivery.payload, "deployment")
        commit, name = text(facts, "sha"), text(facts, "ref")
        if not self._mirror.fetch(commit):
            return CommitTarget(why=_gone(commit))
        return CommitTarget(self._find_ref(name), commit, commit)

    def _locate_release(self) -> CommitTarget:
        """The tag's commit. It may not be there (any more): then what it was made, or is to be made, of."""
        facts = part(self._delivery.payload, "release")
        ref = f"refs/tags/{text(facts, 'tag_name')}"
        meant = text(facts, "target_commitish")
        commit = (
            self._mirror.find(ref)
            or (meant if self._mirror.fetch(meant) else "")
            or self._mirror.find(branch_ref(meant))
            or self._mirror.find(branch_ref(self._repository.default_branch))
        )
        return CommitTarget(ref, commit, commit, why="" if commit else f"the repository has no {ref}")

    def _locate_created(self) -> CommitTarget:
        ref = self._delivery.ref
        commit = self._mirror.find(ref)
        return CommitTarget(ref, commit, commit, why="" if commit else f"the repository has no {ref}")

    def _locate_package(self) -> CommitTarget:
        facts = part(self._delivery.payload, "registry_package", "package_version")
        commit = text(facts, "target_oid")
        if not self._mirror.fetch(commit):
            return self._locate_default()
        name = text(facts, "release", "tag_name") or text(facts, "target_commitish")
        return CommitTarget(self._find_ref(name), commit, commit)

    def _locate_request(self, pull: PullRequest) -> CommitTarget:
        if pull.is_fork and self._repository.forks == "never":
            return CommitTarget(why="it comes from a fork, and this repository starts nothing for forks")
        return self._locate_closed(pull) if self._delivery.action == "closed" else self._locate_merge(pull)

    def _locate_merge(self, pull: PullRequest) -> CommitTarget:
        """The merge of exactly this head: one of a newer push, unseen by whoever approved this one, is not taken."""
        provider, is_trusted = self._repository.provider, not pull.is_fork
        if provider in _MERGE_REFS:
            ref = _MERGE_REFS[provider].format(pull.number)
            commit = self._find_merge(ref, pull)
            if commit:
                return CommitTarget(ref, commit, pull.head, is_trusted)
            if pull.is_mergeable is False:
                return CommitTarget(why="it conflicts with its base: there is no merge to run on")
            if self._attempt <= _MOST_WAITS:
                raise NotYetError("the merge of this head is not there yet", where=ref)
            if provider == "github":
                why = f"{ref} is not the merge of {pull.head[:12]}: a conflict, or newer commits"
                return CommitTarget(why=why)
        return self._locate_head(pull, head_ref(self._repository, pull.number))

    def _locate_closed(self, pull: PullRequest) -> CommitTarget:
        """What it was merged as, on its base branch; else the merge that would have been, or its head."""
        facts = part(self._delivery.payload, "pull_request")
        merged = text(facts, "merge_commit_sha") if part(facts, "merged") is True else ""
        if merged and self._mirror.fetch(merged):
            return CommitTarget(branch_ref(pull.base_branch), merged, pull.head, not pull.is_fork)
        kept = _MERGE_REFS.get(self._repository.provider, "").format(pull.number)
        commit = self._find_merge(kept, pull) if kept else ""
        if commit:
            return CommitTarget(kept, commit, pull.head, not pull.is_fork)
        return self._locate_head(pull, kept or head_ref(self._repository, pull.number))

    def _locate_head(self, pull: PullRequest, ref: str) -> CommitTarget:
        if not self._mirror.fetch(pull.head, head_ref(self._repository, pull.number)):
            return CommitTarget(why=_gone(pull.head))
        return CommitTarget(ref, pull.head, pull.head, not pull.is_fork)

    def _find_merge(self, ref: str, pull: PullRequest) -> str:
        commit = self._mirror.fetch_ref(ref)
        return commit if commit and pull.head in self._mirror.parents(commit) else ""

    def _find_ref(self, name: str) -> str:
        """The full name of a branch or tag that a host names in short; "" for a commit."""
        if not name or is_commit(name) or name.startswith("refs/"):
            return name if name.startswith(_PUSHED_REFS) else ""
        refs = (f"refs/heads/{name}", f"refs/tags/{name}")
        return next((ref for ref in refs if self._mirror.find(ref)), "")


_WAYS: Final[Mapping[str, Callable[[Locator], CommitTarget]]] = {
    "push": Locator._locate_push,  # noqa: SLF001 - the class's own table
    "merge_group": Locator._locate_group,  # noqa: SLF001
    "deployment": Locator._locate_deployed,  # noqa: SLF001
    "deployment_status": Locator._locate_deployed,  # noqa: SLF001
    "release": Locator._locate_release,  # noqa: SLF001
    "create": Locator._locate_created,  # noqa: SLF001
    "registry_package": Locator._locate_package,  # noqa: SLF001
}


def _gone(commit: str) -> str:
    return f"commit {commit[:12]} is not in the repository (any more)"
