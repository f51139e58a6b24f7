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
    action = _action(payload)
    pull = _pull(facts)
    name = text(payload, "user", "username")
    shaped = {
        "action": action,
        "number": pull.number,
        "pull_request": {
            "number": pull.number,
            "id": number(facts, "id"),
            "title": text(facts, "title"),
            "body": text(facts, "description"),
            "html_url": text(facts, "url"),
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


def _action(payload: Payload) -> str:
    """GitHub's word. An update with an `oldrev` brought commits; one of labels or reviewers is told by its `changes`."""
    action = text(payload, "object_attributes", "action")
    if action in _ACTIONS:
        return _ACTIONS[action]
    if action == "update":
        if text(payload, "object_attributes", "oldrev"):
            return "synchronize"
        labels = part(payload, "changes", "labels")
        if labels is not None:
            is_more = len(items(labels, "current")) >= len(items(labels, "previous"))
            return "labeled" if is_more else "unlabeled"
        if part(payload, "changes", "draft") is not None:
            is_draft = part(payload, "changes", "draft", "current") is True
            return "converted_to_draft" if is_draft else "ready_for_review"
        return "edited"
    raise UnknownEventError(f"a merge request that is '{action}' starts no flows here")


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
