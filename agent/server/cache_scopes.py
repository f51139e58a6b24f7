"""Which caches a job may read and write: those of its git ref, and, to read only, of the branches that it comes from. Pure.

A cache that a branch has written is seen by that branch, and, when it is the default branch, by all. So what a pull
request writes is never restored by the branch that it goes to: not even when the flow itself runs on that branch
(`pull_request_target`), or when the run is not trusted (CVE-2026-45321: an untrusted entry that main restored).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_USUAL_BRANCH = "main"


@dataclass(frozen=True, slots=True)
class Scopes:
    """The scope that is written (None: none may be), and all that are read, in this order."""

    write: str | None
    read: tuple[str, ...]


def scopes_of(github: Mapping[str, Any], *, is_trusted: bool) -> Scopes:
    """The scopes of a job whose context `github` is this; `is_trusted` is the word of what started the run."""
    event = _mapping(github.get("event"))
    default = _branch(_mapping(event.get("repository")).get("default_branch") or _USUAL_BRANCH)
    base = _branch(github.get("base_ref"))
    own = str(github.get("ref") or "") or None
    is_foreign = not is_trusted or github.get("event_name") == "pull_request_target"
    if is_foreign and not (own or "").startswith("refs/pull/"):
        own = _pull_request(event)
    read = dict.fromkeys(scope for scope in (own, base, default) if scope)
    return Scopes(own, tuple(read))


def _pull_request(event: Mapping[str, Any]) -> str | None:
    number = _mapping(event.get("pull_request")).get("number", event.get("number"))
    return f"refs/pull/{number}/merge" if isinstance(number, int) and number > 0 else None


def _branch(name: object) -> str | None:
    if not isinstance(name, str) or not name:
        return None
    return name if name.startswith("refs/") else f"refs/heads/{name}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
