"""Lanes of work that wait for other people's machines: a lane is a host, and no host that is slow or silent holds up another's.

So much at once in all, less in one lane. A lane whose work failed several times in a row is closed for a while, longer each time;
then one piece of its work tries whether it may be opened (a circuit breaker).
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

_FAILURES: Final = 3  # in a row, that close a lane
_FIRST_SECONDS: Final = 20.0
_MOST_SECONDS: Final = 300.0


@dataclass(slots=True)
class _Breaker:
    failures: int = 0
    closed_until: float = 0.0


class Lanes:
    """Runs work in the tasks of a group, for as long as that is open."""

    def __init__(self, group: asyncio.TaskGroup, *, most: int, most_in_one: int) -> None:
        self._group = group
        self._most = most
        self._most_in_one = most_in_one
        self._under_way: Counter[str] = Counter()
        self._breakers: dict[str, _Breaker] = {}

    def has_room(self, lane: str) -> bool:
        """Whether one more piece of work may be started in the lane; "" is a lane without bounds of its own."""
        if self._under_way.total() >= self._most:
            return False
        if not lane:
            return True
        breaker = self._breakers.get(lane)
        most = 1 if breaker is not None and breaker.failures >= _FAILURES else self._most_in_one
        return self._under_way[lane] < most

    def closed_until(self, lane: str, now: float) -> float | None:
        """When the lane may be tried again; None: now."""
        breaker = self._breakers.get(lane)
        return breaker.closed_until if breaker is not None and breaker.closed_until > now else None

    def start(self, lane: str, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside all else. `work` raises nothing."""
        self._under_way[lane] += 1

        async def do() -> None:
            try:
                await work
            finally:
                self._under_way[lane] -= 1

        self._group.create_task(do())

    def note_failure(self, lane: str, now: float) -> None:
        """The lane's host did not answer."""
        if not lane:
            return
        breaker = self._breakers.setdefault(lane, _Breaker())
        breaker.failures += 1
        more = breaker.failures - _FAILURES
        if more >= 0:
            breaker.closed_until = now + min(_FIRST_SECONDS * 2**more, _MOST_SECONDS)

    def note_answer(self, lane: str) -> None:
        """The lane's host answered, whatever it said."""
        self._breakers.pop(lane, None)
