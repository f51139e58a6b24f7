"""Deadlines of a job and its steps: they stand still while a step waits for a person."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Move = Callable[[float | None], None]


class Deadline:
    """The end of so many seconds. `move` is told when that is, in the loop's time; None: not for now."""

    def __init__(self, seconds: float, move: Move) -> None:
        """`seconds` of 0: there is no end."""
        self._left_seconds = seconds
        self._has_end = seconds > 0
        self._move = move
        self._pauses = 0
        self._since = _now()
        self._paused_before = 0.0
        self._tell()

    @property
    def paused_seconds(self) -> float:
        """For how long it has stood still until now."""
        return self._paused_before + (_now() - self._since if self._pauses else 0.0)

    @property
    def is_paused(self) -> bool:
        """Whether it stands still."""
        return self._pauses > 0

    def pause(self) -> None:
        """Stand still until `resume` has been called as often."""
        self._pauses += 1
        if self._pauses == 1:
            self._left_seconds -= self._turn()
            self._tell()

    def resume(self) -> None:
        """Go on, once nobody wants it to stand still any more."""
        self._pauses -= 1
        if not self._pauses:
            self._paused_before += self._turn()
            self._tell()

    def _turn(self) -> float:
        """The seconds since it last went on or stood still, which are counted from now on anew."""
        before, self._since = self._since, _now()
        return self._since - before

    def _tell(self) -> None:
        if self._has_end:
            self._move(None if self._pauses else self._since + max(0.0, self._left_seconds))


@contextmanager
def all_paused(deadlines: Sequence[Deadline]) -> Iterator[None]:
    """All of them stand still in the block."""
    for deadline in deadlines:
        deadline.pause()
    try:
        yield
    finally:
        for deadline in deadlines:
            deadline.resume()


def of_block(timeout: asyncio.Timeout) -> Move:
    """Moves the end of the block of an `asyncio.timeout`."""

    def move(when: float | None) -> None:
        if not timeout.expired():
            timeout.reschedule(when)

    return move


def _now() -> float:
    return asyncio.get_running_loop().time()
