"""Backoff: how long to wait before the next attempt to reach the server."""

from collections.abc import Callable

FIRST_SECONDS = 0.25
LONGEST_SECONDS = 30.0


def choose_pause(failures: int, random: Callable[[], float]) -> float:
    """Seconds to wait after `failures` attempts in a row (1, 2, ...) have failed.

    Doubles up to `LONGEST_SECONDS`; `random` (0 to 1) spreads a fleet over the upper half, so that a server which
    comes back is not met by all of it at once.
    """
    ceiling = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(failures - 1, 30))
    return ceiling * (1 + random()) / 2
