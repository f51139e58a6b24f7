"""How often one client address may fail: guessing a token stays hopeless, and cheap for us.

Only failures count, and who shows a good token is let in at once, so that a neighbour behind the same address who
guesses locks nobody out.
"""

from agent.clock import Clock

_MOST_CLIENTS = 10_000  # remembered at a time; beyond that the oldest window is forgotten


class Throttle:
    """Counts failures by client in windows of one minute."""

    def __init__(self, clock: Clock, failures_per_minute: int) -> None:
        self._clock = clock
        self._limit = failures_per_minute
        self._windows: dict[str, tuple[float, int]] = {}

    def is_over(self, client: str) -> bool:
        """Whether `client` has used up its failures of this minute."""
        start, count = self._windows.get(client, (0.0, 0))
        return count >= self._limit and self._clock.monotonic() - start < 60

    def count_failure(self, client: str) -> bool:
        """Note a failure of `client`: whether it is still within the limit."""
        now = self._clock.monotonic()
        start, count = self._windows.pop(client, (now, 0))
        if now - start >= 60:
            start, count = now, 0
        self._windows[client] = (start, count + 1)
        if len(self._windows) > _MOST_CLIENTS:
            del self._windows[next(iter(self._windows))]
        return count < self._limit
