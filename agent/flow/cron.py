"""Cron: is it one, and does it ask for more than every five minutes?

GitHub takes POSIX cron with names for months and days, and `/` steps. Source: actions/languageservices
`workflow-parser/src/model/converter/cron.ts`.
"""

from itertools import pairwise
from typing import Final, NamedTuple

SHORTEST_INTERVAL_MINUTES: Final = 5


class _Field(NamedTuple):
    low: int
    high: int
    names: tuple[str, ...] = ()  # of low, low + 1, ...


_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: Final = (_Field(0, 59), _Field(0, 23), _Field(1, 31), _Field(1, 12, _MONTHS), _Field(0, 6, _DAYS))


def is_cron(text: str) -> bool:
    """Whether `text` is five valid fields: minute, hour, day of month, month, day of week."""
    return expand_cron(text) is not None


def expand_cron(text: str) -> tuple[frozenset[int], ...] | None:
    """The values that each of the five fields stands for, or None when `text` is no cron expression."""
    text = text.rstrip(
        "\n"
    )  # of a block scalar: schedules that are written so run at GitHub, whatever its parser says
    parts = [part for part in text.split(" ") if part]
    if len(parts) != len(_FIELDS) or text[0] == " " or text[-1] == " ":
        return None
    expanded = []
    for part, field in zip(parts, _FIELDS, strict=True):
        values = _expand_list(part, field)
        if values is None:
            return None
        expanded.append(frozenset(values))
    return tuple(expanded)


def shortest_gap_minutes(text: str) -> int:
    """The shortest time between two starts within and across hours, judged by the minute field; 60 for one a hour."""
    expanded = expand_cron(text)
    if expanded is None:
        return 60
    minutes = sorted(expanded[0])
    return min([later - earlier for earlier, later in pairwise(minutes)] + [minutes[0] + 60 - minutes[-1]])


def _expand_list(part: str, field: _Field) -> set[int] | None:
    values: set[int] = set()
    for piece in part.split(","):
        expanded = _expand_step(piece, field)
        if expanded is None:
            return None
        values.update(expanded)
    return values


def _expand_step(piece: str, field: _Field) -> range | None:
    start, slash, step_text = piece.partition("/")
    span = _expand_range(start, field)
    if span is None or not slash:
        return span
    step = _read_number(step_text)
    if not step or not field.low <= step <= field.high:
        return None
    is_single = "-" not in start and start != "*"
    return range(span.start, field.high + 1 if is_single else span.stop, step)


def _expand_range(text: str, field: _Field) -> range | None:
    if text == "*":
        return range(field.low, field.high + 1)
    first, dash, last = text.partition("-")
    low = _read_value(first, field)
    high = _read_value(last, field) if dash else low
    return range(low, high + 1) if low is not None and high is not None and low <= high else None


def _read_value(text: str, field: _Field) -> int | None:
    if text.lower() in field.names:
        return field.low + field.names.index(text.lower())
    number = _read_number(text)
    return number if number is not None and field.low <= number <= field.high else None


def _read_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
