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
