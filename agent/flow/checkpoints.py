"""`jobs.<id>.checkpoints`, our addition to GitHub's language: what of a job is kept while it works, so that its next try goes on from there.

checkpoints: model/
checkpoints: {paths: [model/, state.json], every: 10m, grace: 60s, tries: 5, keep: 2}
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agent.errors import UsageError
from agent.flow.expressions import to_number, to_text

_MOST_TRIES: Final = 1000
_MOST_KEPT: Final = 100
_MOST_PATHS: Final = 100
_LONGEST_SECONDS: Final = 24 * 3600.0
_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([smh]?)")


@dataclass(frozen=True, slots=True)
class Checkpointing:
    """Where a job's checkpoints lie, and what is done with them."""

    paths: tuple[str, ...]
    every_seconds: float = 60.0  # from one look at the paths to the next
    grace_seconds: float = 60.0  # after SIGTERM, when the job is interrupted
    tries: int = 5  # after losses of its machine or supervisor; an interruption uses none up
    most_kept: int = 2  # the newest


def read_checkpoints(value: object, where: str) -> Checkpointing | None:
    """What an evaluated value describes; None: no checkpoints. Raises UsageError."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        return Checkpointing(_read_paths(value, where))
    usual = Checkpointing(())
    return Checkpointing(
        _read_paths(value.get("paths"), where),
        _read_seconds(value.get("every"), "every", usual.every_seconds, 1.0, where),
        _read_seconds(value.get("grace"), "grace", usual.grace_seconds, 0.0, where),
        _read_count(value.get("tries"), "tries", usual.tries, (0, _MOST_TRIES), where),
        _read_count(value.get("keep"), "keep", usual.most_kept, (1, _MOST_KEPT), where),
    )


def _read_paths(value: object, where: str) -> tuple[str, ...]:
    paths = tuple(to_text(item) for item in (value if isinstance(value, (list, tuple)) else [value]))
    if not paths or len(paths) > _MOST_PATHS or not all(path.strip() for path in paths):
        raise UsageError(
            f"'checkpoints' needs 1 to {_MOST_PATHS} paths, and none is empty",
            where=where,
            hint="name the files or folders, as in `checkpoints: model/`",
        )
    return paths


def _read_seconds(value: object, name: str, default: float, least: float, where: str) -> float:
    if value is None:
        return default
    found = _DURATION.fullmatch(to_text(value).strip())
    seconds = -1.0 if found is None or isinstance(value, bool) else float(found[1]) * _UNITS[found[2]]
    if not least <= seconds <= _LONGEST_SECONDS:
        raise UsageError(
            f"'checkpoints.{name}' is no time from {least:g} s to {_LONGEST_SECONDS / 3600:g} h: {to_text(value)[:80]!r}",
            where=where,
            hint="write it as 90s, 10m or 1h",
        )
    return seconds


def _read_count(value: object, name: str, default: int, bounds: tuple[int, int], where: str) -> int:
    if value is None:
        return default
    number = to_number(value)
    if isinstance(value, bool) or not bounds[0] <= number <= bounds[1] or number % 1:
        raise UsageError(
            f"'checkpoints.{name}' is no whole number from {bounds[0]} to {bounds[1]}: {to_text(value)[:80]!r}",
            where=where,
        )
    return int(number)
