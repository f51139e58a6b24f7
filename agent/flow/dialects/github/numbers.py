"""Numbers that GitHub gives to people and repositories, for those that have none: made of the name, the same in every run.

Actions use them as keys. Where an event brings GitHub's own, these are taken.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

from agent.flow.expressions import to_text

_DIGITS: Final = 9  # as long as GitHub's


def number_of(kind: str, name: str) -> str:
    """The number of a `repository` or an `account` of that name, as text; "" for nobody. Case does not count, as at GitHub."""
    if not name:
        return ""
    digest = hashlib.sha256(f"{kind}:{name.lower()}".encode()).digest()
    most = 10**_DIGITS - 10 ** (_DIGITS - 1)
    return str(10 ** (_DIGITS - 1) + int.from_bytes(digest[:8]) % most)


def list_numbers(event: Mapping[str, object], repository: str, actor: str) -> dict[str, str]:
    """The members of `github` that are numbers of others: those of the event, where it is about the same names."""
    owner = repository.partition("/")[0]
    told, sender = _find(event, "repository"), _find(event, "sender")
    is_ours = to_text(told.get("full_name")).lower() == repository.lower()
    is_actors = to_text(sender.get("login")).lower() == actor.lower()
    return {
        "repository_id": _read(told if is_ours else {}) or number_of("repository", repository),
        "repository_owner_id": _read(_find(told, "owner") if is_ours else {}) or number_of("account", owner),
        "actor_id": _read(sender if is_actors else {}) or number_of("account", actor),
    }


def _find(event: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = event.get(name)
    return found if isinstance(found, Mapping) else {}


def _read(told: Mapping[str, object]) -> str:
    number = told.get("id")
    return to_text(number) if isinstance(number, int) and not isinstance(number, bool) else ""
