"""Time as an argument: what needs the time is handed a `Clock`, so that tests can be years long and instant."""

import time
from typing import Protocol


class Clock(Protocol):
    """A source of time. `now` may jump (it is the wall's clock), `monotonic` only grows."""

    def now(self) -> float:
        """Seconds since the Unix epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; for measuring how long something took."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Seconds since the Unix epoch, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when it is told to: for tests and simulations."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now

    def now(self) -> float:
        """Seconds since the Unix epoch, UTC."""
        return self._now

    def monotonic(self) -> float:
        """The same hand as `now`: a manual clock never jumps."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the hand forward by `seconds`."""
        self._now += seconds
