"""A clock of the test's own."""


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
