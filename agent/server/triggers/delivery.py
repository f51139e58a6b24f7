"""A delivery in one form, whoever sent it: the facts that filters, contexts and git ask for.

`payload` has GitHub's shape for every provider, for it becomes `github.event`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from agent.errors import UsageError

T = TypeVar("T")
Payload = Mapping[str, object]
_NO_COMMIT = "0" * 40
_NO_COMMITS = (_NO_COMMIT, "0" * 64)
_NOTHING: Payload = MappingProxyType({})

# Events about a request to merge; the flows of all but the last two are those of the merge.
PULL_EVENTS = ("pull_request", "pull_request_review", "pull_request_review_comment", "pull_request_target")


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A request to merge `head` into `base`; branches are short names, commits full ones."""

    number: int
    head_branch: str
    head: str
    base_branch: str
    base: str
    head_repository: str = ""  # owner/name; "" when it is gone
    is_fork: bool = False
    is_mergeable: bool | None = None  # None: the provider does not know yet


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event. `ref` is full (`refs/heads/main`): what was pushed, or the base of a request; "" when there is none."""

    provider: str  # github, gitea, gitlab; ours: api, platform
    event: str  # GitHub's name
    action: str = ""
    ref: str = ""
    before: str = ""  # of a push; "" when the ref is new
    after: str = ""  # of a push; "" when the ref was deleted
    pull: PullRequest | None = None
    repository: str = ""  # owner/name
    default_branch: str = ""
    sender: str = ""
    message: str = ""  # of the commit that was pushed last
    is_skipped: bool = False  # the sender asked for no runs by other means than the message
    payload: Payload = field(default_factory=lambda: _NOTHING)


class UnknownEventError(UsageError):
    """An event that starts nothing here; the words are for the delivery's outcome."""


def read_commit(value: object) -> str:
    """A commit's name, "" for git's "none" (all zeros)."""
    text = str(value or "")
    return "" if text in _NO_COMMITS else text


def part(payload: object, *names: str) -> object:
    """The value at the path `names`, None when there is no such."""
    for name in names:
        payload = payload.get(name) if isinstance(payload, Mapping) else None
    return payload


def text(payload: object, *names: str) -> str:
    """The text at the path `names`, "" when there is none."""
    value = part(payload, *names)
    return value if isinstance(value, str) else ""


def number(payload: object, *names: str) -> int:
    """The whole number at the path `names`, 0 when there is none."""
    value = part(payload, *names)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def items(payload: object, *names: str) -> list[object]:
    """The list at the path `names`, an empty one when there is none."""
    value = part(payload, *names)
    return value if isinstance(value, list) else []


def branch_ref(name: str) -> str:
    """A branch's full name, "" for none."""
    return f"refs/heads/{name}" if name else ""
