"""Moments as people read them: how long ago on a terminal, the time in UTC in a file or a pipe."""

import time
from datetime import UTC, datetime
from typing import TextIO

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_LONGEST_RELATIVE_SECONDS = 14 * _DAY  # what lies further off is easier found by its date


def seconds_of(moment: str | float | None) -> float | None:
    """Seconds since the epoch of a moment as the API gives it (RFC 3339), or of seconds; None for none, and for what is no moment."""
    if moment is None or moment == "":
        return None
    if not isinstance(moment, str):
        return float(moment)
    try:
        read = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def show_moment(moment: str | float | None, out: TextIO) -> str:
    """`3 min ago` where `out` is a terminal; elsewhere, where it may be read much later, `2026-11-21 08:00:05 UTC`."""
    return relative_text(moment, time.time()) if out.isatty() else utc_text(moment)


def utc_text(moment: str | float | None) -> str:
    """`2026-11-21 08:00:05 UTC`; empty for none."""
    seconds = seconds_of(moment)
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def relative_text(moment: str | float | None, now: float) -> str:
    """`just now`, `40 s ago`, `3 min ago`, `in 2 h`, `5 d ago`; further off the minute, in UTC. `now` in seconds since the epoch."""
    seconds = seconds_of(moment)
    if seconds is None:
        return ""
    ago = now - seconds
    if abs(ago) >= _LONGEST_RELATIVE_SECONDS:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    length = _length_text(abs(ago))
    if not length:
        return "just now"
    return f"{length} ago" if ago > 0 else f"in {length}"


def _length_text(seconds: float) -> str:
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name}"
    return f"{int(seconds)} s" if seconds >= 5 else ""
