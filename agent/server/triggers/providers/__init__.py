"""Providers, and what each sends as a `Delivery`: one module a provider, all with `read_delivery(event, payload)`. Pure."""

from collections.abc import Callable, Mapping
from typing import Final

from agent.server.triggers.delivery import Delivery, Payload, text
from agent.server.triggers.providers import gitea, github, gitlab

READERS: Final[Mapping[str, Callable[[str, Payload], Delivery]]] = {
    "github": github.read_delivery,
    "gitea": gitea.read_delivery,
    "gitlab": gitlab.read_delivery,
}

# The header that names the event, and the one that names the delivery, as each provider sends them (first that is there).
EVENT_HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "github": ("x-github-event",),
    "gitea": ("x-forgejo-event", "x-gitea-event"),
    "gitlab": ("x-gitlab-event",),
}
ID_HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "github": ("x-github-delivery",),
    "gitea": ("x-forgejo-delivery", "x-gitea-delivery"),
    "gitlab": ("webhook-id", "idempotency-key", "x-gitlab-event-uuid"),
}

# Where a payload about a request to merge has the commit of its head, of providers that have it elsewhere than the others.
_HEADS: Final[Mapping[str, tuple[str, ...]]] = {"gitlab": ("object_attributes", "last_commit", "id")}
_USUAL_HEAD: Final = ("pull_request", "head", "sha")


def read_head(provider: str, payload: Payload) -> str:
    """The head's commit in what a provider sent about a request to merge; "" when it is about none."""
    return text(payload, *_HEADS.get(provider, _USUAL_HEAD))
