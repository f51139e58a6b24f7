"""The timetable: cron's times in a time zone, and which missed one still counts. Pure.

Daylight saving, as cron has it: a time that is skipped in spring comes when the clocks have gone forward; one that is
there twice in autumn comes once. Steps of `*` go on as if nothing had happened.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from agent.errors import UsageError
from agent.flow.cron import expand_cron


def next_time(cron: str, zone: str, after: float) -> float:
    """The first time of the schedule after `after` (seconds since the epoch). Raises UsageError."""
    return _step(cron, zone, after, reverse=False)


def last_time(cron: str, zone: str, now: float) -> float:
    """The last time of the schedule up to and with `now`. Raises UsageError."""
    following = _step(cron, zone, now, reverse=False)
    return _step(cron, zone, following, reverse=True)


def find_missed(cron: str, zone: str, due: float, now: float, late_seconds: float) -> float | None:
    """Of the times from `due` to `now`: the last, when it is not later than `late_seconds` ago; the rest are let go."""
    last = max(due, last_time(cron, zone, now))
    return last if now - last <= late_seconds else None


def _step(cron: str, zone: str, start: float, *, reverse: bool) -> float:
    if expand_cron(cron) is None:
        raise UsageError(f"'{cron}' is no cron expression", hint="five fields: minute hour day month weekday")
    try:
        moment = datetime.fromtimestamp(start, UTC).astimezone(ZoneInfo(zone))
    except (KeyError, ValueError, OSError):
        raise UsageError(f"there is no time zone '{zone}'", hint="write it as Europe/Berlin") from None
    try:
        return next(CronSim(cron, moment, reverse=reverse)).timestamp()
    except (CronSimError, StopIteration):
        raise UsageError(f"'{cron}' never comes", hint="is there such a day in that month?") from None
