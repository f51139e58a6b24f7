"""Cron: is it one, does it ask for more than every five minutes, and when does it come?

A time that is skipped when the clocks go forward comes once they have; one that is there twice when they go back comes once; steps of `*`
in the minutes or hours go on as if nothing had happened. So has it Debian's cron.

GitHub takes POSIX cron with names for months and days, and `/` steps. Source: actions/languageservices
`workflow-parser/src/model/converter/cron.ts`.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise
from typing import Final, NamedTuple

SHORTEST_INTERVAL_MINUTES: Final = 5
_MOST_DAYS: Final = 366 * 8 + 2  # from one 29 February to the next, over the end of a century
_MOST_MINUTES: Final = 27 * 60  # of a day, and some before it


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


def next_time(text: str, zone: tzinfo, after: float) -> float | None:
    """The first time after `after`, both in seconds since the epoch; None when it never comes (30 February)."""
    begin = datetime.fromtimestamp(after, zone).date()
    for offset in range(_MOST_DAYS):
        for moment in _times_of(text, zone, begin + timedelta(days=offset)):
            if moment > after:
                return moment
    return None


def last_time(text: str, zone: tzinfo, after: float, until: float) -> float | None:
    """The last time after `after`, up to and with `until`; None when there is none between them."""
    day = datetime.fromtimestamp(until, zone).date()
    begin = datetime.fromtimestamp(after, zone).date()
    while day >= begin:
        moments = [moment for moment in _times_of(text, zone, day) if after < moment <= until]
        if moments:
            return moments[-1]
        day -= timedelta(days=1)
    return None


def _times_of(text: str, zone: tzinfo, day: date) -> list[float]:
    """All times of a day in the zone, in order."""
    expanded = expand_cron(text)
    if expanded is None:
        return []
    minutes, hours, days, months, weekdays = expanded
    written = text.split()
    fits = day.day in days, day.isoweekday() % 7 in weekdays
    is_either = not (written[2].startswith("*") or written[4].startswith("*"))
    if day.month not in months or not (any(fits) if is_either else all(fits)):
        return []
    if written[0].startswith("*") or written[1].startswith("*"):
        moments = (
            moment for moment, now in _minutes_of(zone, day) if now.minute in minutes and now.hour in hours
        )
        return sorted(moments)
    walls = (datetime.combine(day, time(hour, minute), zone) for hour in hours for minute in minutes)
    return sorted({_find_moment(wall, zone) for wall in walls})


def _minutes_of(zone: tzinfo, day: date) -> Iterator[tuple[float, datetime]]:
    """Each minute that the day really has, and what the clock on the wall says."""
    moment = datetime.combine(day, time(), zone).astimezone(UTC) - timedelta(hours=1)
    for _ in range(_MOST_MINUTES):
        wall = moment.astimezone(zone)
        if wall.date() == day:
            yield moment.timestamp(), wall
        moment += timedelta(minutes=1)


def _find_moment(wall: datetime, zone: tzinfo) -> float:
    """When the clock on the wall says so for the first time, or first says something later."""
    while (moment := wall.astimezone(UTC)).astimezone(zone).replace(tzinfo=None) != wall.replace(tzinfo=None):
        wall += timedelta(minutes=1)
    return moment.timestamp()


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
