"""GitHub's webhooks. Source: GitHub's documentation, "Webhook events and payloads", "Events that trigger workflows"."""

from typing import Final

from agent.flow.load import find_front_end
from agent.server.triggers.delivery import (
    PULL_EVENTS,
    Delivery,
    Payload,
    PullRequest,
    UnknownEventError,
    branch_ref,
    number,
    part,
    read_commit,
    text,
)

# Events of this server's own making: GitHub's of the same name tell of GitHub's own runs.
_OURS: Final = (
    *("schedule", "workflow_dispatch", "workflow_call", "workflow_run"),
    *("run_finished", "agent_lost", "artifact_tagged", "dataset_version"),
)


def read_delivery(event: str, payload: Payload) -> Delivery:
    """The delivery. Raises UnknownEventError for an event that starts no flow."""
    if event == "ping":
        raise UnknownEventError("a ping: the webhook works")
    if event in _OURS or event not in find_front_end("github").dialect.events:
        raise UnknownEventError(f"the event '{event}' of a webhook starts no flows")
    facts = {
        "provider": "github",
        "event": event,
        "action": text(payload, "action"),
        "repository": text(payload, "repository", "full_name"),
        "default_branch": text(payload, "repository", "default_branch"),
        "sender": text(payload, "sender", "login"),
        "payload": payload,
    }
    if event == "push":
        return Delivery(
            **facts,  # type: ignore[arg-type]
            ref=text(payload, "ref"),
            before=read_commit(part(payload, "before")),
            after=read_commit(part(payload, "after")),
            message=text(payload, "head_commit", "message"),
        )
    if event in PULL_EVENTS:
        pull = read_pull(payload)
        return Delivery(**facts, ref=branch_ref(pull.base_branch), pull=pull)  # type: ignore[arg-type]
    return Delivery(**facts, ref=_find_ref(event, payload))  # type: ignore[arg-type]


def read_pull(payload: Payload) -> PullRequest:
    """The request that the event is about."""
    pull = part(payload, "pull_request")
    head, base = part(pull, "head"), part(pull, "base")
    head_repository, base_repository = text(head, "repo", "full_name"), text(base, "repo", "full_name")
    mergeable = part(pull, "mergeable")
    return PullRequest(
        number=number(pull, "number") or number(payload, "number"),
        head_branch=text(head, "ref"),
        head=text(head, "sha"),
        base_branch=text(base, "ref"),
        base=text(base, "sha"),
        head_repository=head_repository,
        is_fork=head_repository.lower() != base_repository.lower(),  # also a fork that is gone meanwhile
        is_mergeable=mergeable if isinstance(mergeable, bool) else None,
    )


def _find_ref(event: str, payload: Payload) -> str:
    """The ref that such an event is about, as filters ask for it; "" where it is about none."""
    if event == "release":
        tag = text(payload, "release", "tag_name")
        return f"refs/tags/{tag}" if tag else ""
    if event == "create":
        kind = "tags" if text(payload, "ref_type") == "tag" else "heads"
        name = text(payload, "ref").removeprefix(f"refs/{kind}/")
        return f"refs/{kind}/{name}" if name else ""
    if event == "merge_group":
        return text(payload, "merge_group", "base_ref")
    return ""
