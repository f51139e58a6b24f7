"""Waiting for what will answer again: longer each time, said once when it begins and once when it is over."""

import asyncio
import random
from collections.abc import Callable

_FIRST_SECONDS = 0.2
_MOST_SECONDS = 20.0


def honour_cancel() -> None:
    """Raise CancelledError where this task was told to end, and somebody below did not let it hear.

    `asyncio.wait_for` of Python 3.11 forgets a cancellation that comes together with its answer; redis-py and nats-py
    wait by it.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class Trouble:
    """One source of trouble, such as a server that is away."""

    def __init__(self, say: Callable[[str], None], most_seconds: float = _MOST_SECONDS) -> None:
        self._say = say
        self._most = most_seconds
        self._tries = 0
        self._said = ""

    @property
    def tries(self) -> int:
        """How often in a row it was met."""
        return self._tries

    async def meet(self, what: str, *, quiet: int = 2) -> None:
        """It is there (again): wait. It is said when it was met more than `quiet` times, and when it is another."""
        honour_cancel()
        self._tries += 1
        if self._tries > quiet and what != self._said:
            self._said = what
            self._say(f"{what}; trying again")
        longest = min(self._most, _FIRST_SECONDS * 2 ** min(self._tries - 1, 16))
        await asyncio.sleep(longest * random.uniform(0.5, 1.0))  # noqa: S311  # so that copies don't come at once

    def end(self) -> None:
        """It is over."""
        if self._said:
            self._say("it answers again")
        self._tries, self._said = 0, ""
