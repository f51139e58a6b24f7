"""The throttle of failures: guessing a token or a password stays hopeless, and cheap for us.

Who shows a good token is let in at once, and only failures count, so that a neighbour behind the same address who guesses locks
nobody out. A password is slow to look at: its guess counts before it is looked at (`attempt`), and a right one is given back
(`forgive`); three hundred that come at once are three hundred guesses.
"""

from collections.abc import Iterable

from agent.clock import Clock

_MOST_CLIENTS = 10_000  # remembered at a time; beyond that the oldest window is forgotten


class Throttle:
    """Counts failures by client in windows of one minute."""

    def __init__(self, clock: Clock, failures_per_minute: int) -> None:
        self._clock = clock
        self._limit = failures_per_minute
        self._windows: dict[str, tuple[float, int]] = {}

    def attempt(self, clients: Iterable[str]) -> bool:
        """Count a guess of each of `clients` before it is looked at: whether all are still within the limit."""
        are_within = [
            self.count_failure(client) for client in clients
        ]  # each counts, also after one that is over
        return all(are_within)

    def forgive(self, clients: Iterable[str]) -> None:
        """The guess of `clients` that was counted was right."""
        for client in clients:
            start, count = self._windows.get(client, (0.0, 0))
            if count:
                self._windows[client] = (start, count - 1)

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
