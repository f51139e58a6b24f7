"""`jobs.<id>.retry`, our addition to GitHub's language: how often a job is tried again, why, and after how long.

retry: 3
retry: {max: 3, on: [lost, infrastructure, 75], backoff: {seconds: 10, factor: 2, most: 600}}
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agent.errors import UsageError
from agent.flow.expressions import to_number, to_text

ANY_FAILURE: Final = "failure"
# Beside `failure`: the kinds of failure of agent.spec.outcome, less `cancelled`, which is nobody's failure.
KINDS: Final = ("user", "timeout", "lost", "oom", "gpu", "image", "action", "infrastructure")
_MOST_RETRIES: Final = 1000
_LONGEST_SECONDS: Final = 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Retry:
    """When and how often a job is tried again. The default is never."""

    most: int = 0  # tries after the first
    kinds: frozenset[str] = frozenset({ANY_FAILURE})
    exit_codes: frozenset[int] = frozenset()
    seconds: float = 10.0  # before the first retry
    factor: float = 2.0  # of each further wait to the one before
    longest_seconds: float = 3600.0

    def applies(self, kind: str, exit_code: int | None) -> bool:
        """Whether a failure of this kind, with the exit code of the command that caused it, is one to try again."""
        return ANY_FAILURE in self.kinds or kind in self.kinds or exit_code in self.exit_codes

    def delay(self, tries: int) -> float:
        """Seconds to wait after the try number `tries`, from 1."""
        exponent = min(tries - 1, 64)
        return min(self.seconds * self.factor**exponent, self.longest_seconds)


def read_retry(value: object, where: str) -> Retry:
    """The `retry` that an evaluated value describes. Raises UsageError."""
    if value is None:
        return Retry()
    if not isinstance(value, Mapping):
        return Retry(most=_read_count(value, where))
    kinds, codes = _read_reasons(value.get("on"), where)
    backoff = value.get("backoff")
    given = backoff if isinstance(backoff, Mapping) else {}
    return Retry(
        _read_count(value.get("max"), where),
        kinds,
        codes,
        _read_number(given, "seconds", Retry().seconds, where),
        _read_number(given, "factor", Retry().factor, where),
        _read_number(given, "most", Retry().longest_seconds, where),
    )


def _read_reasons(value: object, where: str) -> tuple[frozenset[str], frozenset[int]]:
    if value is None:
        return Retry().kinds, frozenset()
    texts = [to_text(item) for item in (value if isinstance(value, (list, tuple)) else [value])]
    for text in texts:
        if text not in (ANY_FAILURE, *KINDS) and not _is_exit_code(text):
            raise UsageError(
                f"'retry.on' doesn't know '{text}'",
                where=where,
                hint=f"it knows {ANY_FAILURE}, {', '.join(KINDS)}, and exit codes from 1 to 255",
            )
    codes = frozenset(int(text) for text in texts if _is_exit_code(text))
    return frozenset(text for text in texts if not _is_exit_code(text)), codes


def _is_exit_code(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= 255


def _read_count(value: object, where: str) -> int:
    number = to_number(value)
    if isinstance(value, bool) or value is None or not (0 <= number <= _MOST_RETRIES) or number % 1:
        raise UsageError(
            f"'retry' is no number of retries from 0 to {_MOST_RETRIES}: {to_text(value)!r}", where=where
        )
    return int(number)


def _read_number(values: Mapping[str, object], name: str, default: float, where: str) -> float:
    value = values.get(name)
    if value is None:
        return default
    number = to_number(value)
    if isinstance(value, bool) or not 0 <= number <= _LONGEST_SECONDS:
        raise UsageError(
            f"'retry.backoff.{name}' is no number of at least 0: {to_text(value)!r}", where=where
        )
    return number
