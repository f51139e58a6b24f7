"""Moments as the API says them (RFC 3339, UTC), and as people read them."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec

_LAST_SECOND = 253_402_300_799  # of the year 9999: what lies behind it has no RFC 3339 form

Moment = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]


def time_text(seconds: float | None) -> str | None:
    """Seconds since the epoch as `2026-11-21T08:00:00.000Z` (RFC 3339, UTC)."""
    if seconds is None:
        return None
    seconds = min(max(seconds, 0), _LAST_SECOND)
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_moment(moment: str) -> float:
    """A moment of a view in seconds since the epoch."""
    return datetime.fromisoformat(moment).timestamp()


def shown_moment(moment: str) -> str:
    """A moment of a view as `2026-11-21 08:00 UTC`, for people."""
    return f"{moment[:10]} {moment[11:16]} UTC"
