"""Which secrets and variables a job gets when several levels set the same name: the nearest one wins. Pure.

environment of the job > project > organisation
"""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from agent.flow.filters import matches_patterns
from agent.server.store.settings import Level, SecretRow


class _Row(Protocol):
    @property
    def level(self) -> Level: ...

    @property
    def name(self) -> str: ...


R = TypeVar("R", bound=_Row)


def nearest(rows: Iterable[R], environment: str = "") -> dict[str, R]:
    """By name, the row that counts for a job in `environment` (empty: in none)."""
    found: dict[str, R] = {}
    for row in rows:
        if row.level.environment and row.level.environment.casefold() != environment.casefold():
            continue
        if row.name not in found or _rank(row.level) > _rank(found[row.name].level):
            found[row.name] = row
    return found


def may_be_used(row: SecretRow, ref: str) -> bool:
    """Whether a run on the git ref `ref` gets the secret. A pattern is of branches unless it begins with `refs/`."""
    return not row.refs or matches_patterns([_whole(pattern) for pattern in row.refs], ref)


def _whole(pattern: str) -> str:
    sign, body = ("!", pattern[1:]) if pattern.startswith("!") else ("", pattern)
    return pattern if body.startswith("refs/") else f"{sign}refs/heads/{body}"


def _rank(level: Level) -> int:
    return (level.project != 0) + (level.environment != "")
