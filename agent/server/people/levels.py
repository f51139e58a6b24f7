"""Levels of secrets and variables: of several that set the same name the nearest one wins. Pure.

environment of the job > project > organisation
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from agent.flow.filters import matches_patterns
from agent.server.store.settings import Level, SecretRow

__all__ = ["Level", "fits_refs", "may_be_used", "nearest"]


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
    """Whether a run on the git ref `ref` gets the secret."""
    return fits_refs(row.refs, ref)


def fits_refs(patterns: Sequence[str], ref: str) -> bool:
    """Whether `ref`, in full, is among the refs that `patterns` are of; none are of all, "" (no branch) is in none.

    A pattern is of branches unless it begins with `refs/`: a tag that is called `main` is not the branch.
    """
    return not patterns or matches_patterns([_whole(pattern) for pattern in patterns], ref)


def _whole(pattern: str) -> str:
    sign, body = ("!", pattern[1:]) if pattern.startswith("!") else ("", pattern)
    return pattern if body.startswith("refs/") else f"{sign}refs/heads/{body}"


def _rank(level: Level) -> int:
    return (level.project != 0) + (level.environment != "")
