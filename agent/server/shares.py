"""Shares of something that many want at a time: no client has more than so many parts of it, and what it wants beyond waits in order.

Asked from any thread; a client is a name (for threads that ask the outside world: a host).
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager


class Shares:
    """`most` parts for one client, and `queue` places where it waits for one."""

    def __init__(self, most: int, queue: int) -> None:
        self.most = most
        self.queue = queue
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[Future[None]]] = {}

    @property
    def waiting(self) -> int:
        """How many wait for a part."""
        with self._lock:
            return sum(not one.cancelled() for places in self._waiting.values() for one in places)

    def ask(self, client: str) -> Future[None] | None:
        """Is done when the client has one more part; who gives up waiting cancels it. None: too many wait already."""
        turn: Future[None] = Future()
        with self._lock:
            if self._held[client] < self.most:
                self._held[client] += 1
                turn.set_result(None)
                return turn
            places = self._waiting.setdefault(client, deque())
            while len(places) >= self.queue and any(one.cancelled() for one in places):
                places.remove(next(one for one in places if one.cancelled()))
            if len(places) >= self.queue:
                return None
            places.append(turn)
            return turn

    def give_back(self, client: str) -> None:
        """A part that the client had is free: the next one that waits has it."""
        with self._lock:
            places = self._waiting.get(client, deque())
            while places:
                turn = places.popleft()
                if turn.set_running_or_notify_cancel():
                    turn.set_result(None)
                    return
            self._waiting.pop(client, None)
            self._held[client] -= 1
            if not self._held[client]:
                del self._held[client]

    @contextmanager
    def held(self, client: str, seconds: float, refuse: Callable[[], Exception]) -> Iterator[None]:
        """A part for as long as the block runs, waited for in this thread; raises what `refuse` makes when none is free in time."""
        turn = self.ask(client)
        if turn is None:
            raise refuse()
        try:
            turn.result(seconds)
        except TimeoutError:
            if turn.cancel():
                raise refuse() from None
        try:
            yield
        finally:
            self.give_back(client)
