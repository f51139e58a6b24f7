"""Gitea's and Forgejo's webhooks: GitHub's shape, with words of their own here and there.

Source: Gitea's documentation, "Webhooks", and the names in its `modules/structs/hook.go`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from agent.server.triggers.delivery import Delivery, Payload, items, number, part, text
from agent.server.triggers.providers import github

_EVENTS: Final = {
    "pull_request_approved": ("pull_request_review", "submitted"),
    "pull_request_rejected": ("pull_request_review", "submitted"),
    "pull_request_comment": ("pull_request_review", "submitted"),
}
# Its words for activities, by event; of others the word is GitHub's.
_ACTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "pull_request": {
        "synchronized": "synchronize",
        "label_updated": "labeled",
        "label_cleared": "unlabeled",
        "review_request": "review_requested",
    },
    "issues": {"label_updated": "labeled", "label_cleared": "unlabeled"},
    "release": {"updated": "edited"},
}
_REVIEWS: Final = {
    "pull_request_review_approved": "approved",
    "pull_request_review_rejected": "changes_requested",
    "pull_request_review_comment": "commented",
}


def read_delivery(event: str, payload: Payload) -> Delivery:
    """The delivery. Raises UnknownEventError for an event that starts no flow."""
    name, action = _EVENTS.get(event, (event, ""))
    action = action or _ACTIONS.get(name, {}).get(text(payload, "action"), "")
    shaped = dict(payload)
    shaped.pop("secret", None)  # old versions send the hook's secret along
    if action:
        shaped["action"] = action
    if name == "pull_request_review":
        state = _REVIEWS.get(text(payload, "review", "type"), "commented")
        shaped["review"] = {"state": state, "body": text(payload, "review", "content")}
    if name == "push":
        shaped |= _push_facts(payload)
    if name == "fork":  # there `repository` is the new one and `forkee` what it was made of
        shaped["repository"], shaped["forkee"] = part(payload, "forkee"), part(payload, "repository")
    delivery = github.read_delivery(name, shaped)
    if delivery.pull is not None and not delivery.pull.number:
        delivery = replace(delivery, pull=replace(delivery.pull, number=number(payload, "number")))
    return replace(delivery, provider="gitea")


def _push_facts(payload: Payload) -> dict[str, object]:
    """What GitHub says of a push and Gitea leaves to be worked out."""
    after = text(payload, "after")
    commits = items(payload, "commits")
    head = next((commit for commit in commits if text(commit, "id") == after), None)
    head = head or part(payload, "head_commit") or (commits[0] if commits else None)
    return {
        "head_commit": head,
        "created": not text(payload, "before").strip("0"),
        "deleted": not after.strip("0"),
        "compare": text(payload, "compare_url"),
    }
