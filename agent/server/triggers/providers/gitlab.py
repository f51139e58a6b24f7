"""GitLab's Push, Tag Push and Merge Request hooks, brought into GitHub's shape.

Source: GitLab's documentation, "Webhook events". What has no place in GitHub's shape is under `gitlab`.
"""

from collections.abc import Mapping
from typing import Final

from agent.server.triggers.delivery import (
    Delivery,
    Payload,
    PullRequest,
    UnknownEventError,
    branch_ref,
    items,
    number,
    part,
    read_commit,
    text,
)

_PUSHES: Final = ("Push Hook", "Tag Push Hook")
_MERGE_REQUEST: Final = "Merge Request Hook"
_ACTIONS: Final = {"open": "opened", "reopen": "reopened", "close": "closed", "merge": "closed"}


def read_delivery(event: str, payload: Payload) -> Delivery:
    """The delivery. Raises UnknownEventError for a hook that starts no flow."""
    if event in _PUSHES:
        return _read_push(payload)
    if event == _MERGE_REQUEST:
        return _read_merge_request(payload)
    raise UnknownEventError(f"GitLab's '{event}' starts no flows here; pushes, tags and merge requests do")


def _read_push(payload: Payload) -> Delivery:
    before, after = read_commit(part(payload, "before")), read_commit(part(payload, "after"))
    commits = [_commit(commit) for commit in items(payload, "commits")]
    head = next((commit for commit in commits if commit["id"] == after), commits[-1] if commits else None)
    name = text(payload, "user_username") or text(payload, "user_name")
    shaped = {
        "ref": text(payload, "ref"),
        "before": text(payload, "before"),
        "after": text(payload, "after"),
        "created": not before,
        "deleted": not after,
        "commits": commits,
        "head_commit": head,
        "pusher": {"name": name, "email": text(payload, "user_email")},
        "repository": _repository(part(payload, "project")),
        "sender": {"login": name, "id": number(payload, "user_id")},
    }
    return Delivery(
        provider="gitlab",
        event="push",
        ref=text(payload, "ref"),
        before=before,
        after=after,
        repository=text(payload, "project", "path_with_namespace"),
        default_branch=text(payload, "project", "default_branch"),
        sender=name,
        message=str(head["message"]) if head else "",
        is_skipped=bool(part(payload, "push_options", "ci", "skip")),
        payload=shaped,
    )


def _read_merge_request(payload: Payload) -> Delivery:
    facts = part(payload, "object_attributes")
    action, more = _action(payload)
    pull = _pull(facts)
    name = text(payload, "user", "username")
    shaped = {
        "action": action,
        **more,
        "number": pull.number,
        "pull_request": {
            "number": pull.number,
            "id": number(facts, "id"),
            "title": text(facts, "title"),
            "body": text(facts, "description"),
            "html_url": text(facts, "url"),
            "user": _author(payload),
            "assignees": [_user(person) for person in items(payload, "assignees")],
            "requested_reviewers": [_user(person) for person in items(payload, "reviewers")],
            "state": "open" if text(facts, "state") in ("opened", "locked") else "closed",
            "draft": bool(part(facts, "draft") or part(facts, "work_in_progress")),
            "merged": text(facts, "state") == "merged",
            "merge_commit_sha": part(facts, "merge_commit_sha"),
            "labels": [{"name": text(label, "title")} for label in items(payload, "labels")],
            "head": _side(pull.head_branch, pull.head, part(facts, "source")),
            "base": _side(pull.base_branch, pull.base, part(facts, "target")),
        },
        "repository": _repository(part(payload, "project")),
        "sender": {"login": name, "id": number(payload, "user", "id")},
    }
    return Delivery(
        provider="gitlab",
        event="pull_request",
        action=action,
        ref=branch_ref(pull.base_branch),
        pull=pull,
        repository=text(payload, "project", "path_with_namespace"),
        default_branch=text(payload, "project", "default_branch"),
        sender=name,
        message=text(facts, "last_commit", "message"),
        payload=shaped,
    )


def _action(payload: Payload) -> tuple[str, dict[str, object]]:
    """GitHub's word, and what its event tells besides. An update with an `oldrev` brought commits; others are told by their `changes`.

    Raises UnknownEventError for an activity that GitHub has no word for.
    """
    action = text(payload, "object_attributes", "action")
    if action in _ACTIONS:
        return _ACTIONS[action], {}
    if action != "update":
        raise UnknownEventError(f"a merge request that is '{action}' starts no flows here")
    if text(payload, "object_attributes", "oldrev"):
        return "synchronize", {}
    changes = part(payload, "changes")
    for key, words, member in _CHANGED_LISTS:
        if part(changes, key) is not None:
            more, fewer = _differ(items(changes, key, "current"), items(changes, key, "previous"))
            one = _label(*(more or fewer)[:1]) if member == "label" else _user(*(more or fewer)[:1])
            return words[0] if more or not fewer else words[1], {member: one}
    if part(changes, "milestone_id") is not None:
        is_set = number(changes, "milestone_id", "current") != 0
        return "milestoned" if is_set else "demilestoned", {}
    if part(changes, "draft") is not None:
        is_draft = part(changes, "draft", "current") is True
        return "converted_to_draft" if is_draft else "ready_for_review", {}
    if isinstance(changes, Mapping) and changes and not set(changes) - _TIMES:
        raise UnknownEventError("an update of a merge request that changes nothing but times starts no flows")
    return "edited", {}


# What changes in a list: GitHub's words for more and for fewer, and the member of its event that names the one.
_CHANGED_LISTS: Final = (
    ("labels", ("labeled", "unlabeled"), "label"),
    ("assignees", ("assigned", "unassigned"), "assignee"),
    ("reviewers", ("review_requested", "review_request_removed"), "requested_reviewer"),
)
_TIMES: Final = {
    "updated_at", "updated_by_id", "last_edited_at", "last_edited_by_id", "time_estimate", "total_time_spent",
    "time_change", "human_time_estimate", "human_total_time_spent", "human_time_change", "prepared_at",
}  # fmt: skip


def _differ(current: list[object], previous: list[object]) -> tuple[list[object], list[object]]:
    """What came and what went, by id, else as it is."""

    def key(item: object) -> object:
        return number(item, "id") or text(item, "title") or text(item, "username")

    now, before = {key(item) for item in current}, {key(item) for item in previous}
    if len(now) != len(current) or len(before) != len(previous):  # they have no names: the numbers tell
        more = len(current) - len(previous)
        return current[: max(more, 0)], previous[: max(-more, 0)]
    return [item for item in current if key(item) not in before], [
        item for item in previous if key(item) not in now
    ]


def _label(label: object = None) -> dict[str, object]:
    color = text(label, "color").removeprefix("#")
    return {"id": number(label, "id"), "name": text(label, "title"), "color": color}


def _user(person: object = None) -> dict[str, object]:
    return {"id": number(person, "id"), "login": text(person, "username")}


def _author(payload: Payload) -> dict[str, object]:
    """Who opened it: the hook names nobody but who does something now, and by number the author."""
    author = number(payload, "object_attributes", "author_id")
    people = [part(payload, "user"), *items(payload, "assignees"), *items(payload, "reviewers")]
    return next(
        (_user(person) for person in people if author and number(person, "id") == author),
        {"id": author, "login": ""},
    )


def _pull(facts: object) -> PullRequest:
    source, target = number(facts, "source_project_id"), number(facts, "target_project_id")
    status = text(facts, "merge_status")
    return PullRequest(
        number=number(facts, "iid"),
        head_branch=text(facts, "source_branch"),
        head=text(facts, "last_commit", "id"),
        base_branch=text(facts, "target_branch"),
        base=text(facts, "target_branch_sha"),
        head_repository=text(facts, "source", "path_with_namespace"),
        is_fork=source != target or not source,
        is_mergeable=False if status == "cannot_be_merged" else None,
    )


def _side(branch: str, commit: str, project: object) -> dict[str, object]:
    return {"ref": branch, "sha": commit, "label": branch, "repo": _repository(project)}


def _repository(project: object) -> dict[str, object]:
    full_name = text(project, "path_with_namespace")
    owner, _, name = full_name.rpartition("/")
    return {
        "id": number(project, "id"),
        "name": name,
        "full_name": full_name,
        "owner": {"login": owner},
        "private": number(project, "visibility_level") != 20,  # 0 private, 10 internal, 20 public
        "description": text(project, "description"),
        "default_branch": text(project, "default_branch"),
        "html_url": text(project, "web_url"),
        "clone_url": text(project, "git_http_url"),
        "ssh_url": text(project, "git_ssh_url"),
    }


def _commit(commit: object) -> dict[str, object]:
    facts: Mapping[str, object] = commit if isinstance(commit, Mapping) else {}
    return {
        **{name: facts.get(name, [] if name in ("added", "modified", "removed") else "") for name in _KEPT},
        "author": {"name": text(commit, "author", "name"), "email": text(commit, "author", "email")},
    }


_KEPT: Final = ("id", "message", "timestamp", "url", "added", "modified", "removed")
