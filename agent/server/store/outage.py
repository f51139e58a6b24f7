"""An outage of the database, and how a loop bears it: one line when it begins to wait, longer and longer pauses, one line when it
goes on.

    outage = Outage(log, "the timers")
    while True:
        with outage:
            outage.seconds = await work()
        await sleep(outage.seconds)

What somebody waits for is repeated until it is done: `outlast`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

from agent.server.store.failures import UnavailableError

T = TypeVar("T")
log = logging.getLogger("agent.server")
_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 5.0
_REST_SECONDS = 1.0  # after a bug of ours
_FIRST_TRY_SECONDS = 0.05  # where somebody waits for it
_LONGEST_TRY_SECONDS = 2.0


class Outage:
    """A round of a loop: what goes wrong in it is told and swallowed, since nobody else does the loop's work.

    `seconds` is how long to rest after it: what the round has set, or what came of its failure. `who` does the waiting,
    in the plural.
    """

    def __init__(
        self,
        log: logging.Logger,
        who: str,
        *,
        first_seconds: float = _FIRST_SECONDS,
        longest_seconds: float = _LONGEST_SECONDS,
    ) -> None:
        self.seconds = 0.0
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._log = log
        self._who = who
        self._pause = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if error is None:
            self.went_well()
            return False
        if not isinstance(error, Exception):
            return False  # cancelled
        self.seconds = self._bear(error)
        return True

    def went_well(self) -> None:
        """The database answers."""
        if self._pause:
            self._log.warning("%s go on: the database is back", self._who)
        self._pause = 0.0

    def await_database(self, error: UnavailableError) -> float:
        """How long to wait for a database that is away."""
        if not self._pause:
            self._log.warning("%s wait: %s", self._who, error)
        self._pause = min(max(2 * self._pause, self._first_seconds), self._longest_seconds)
        return self._pause

    def _bear(self, error: Exception) -> float:
        if isinstance(error, UnavailableError):
            return self.await_database(error)
        self._log.error("%s stumbled", self._who, exc_info=error)
        return _REST_SECONDS


async def outlast(work: Callable[[], Awaitable[T]], who: str) -> T:
    """What `work` gives, however often it has to be repeated: it must bear that, having been done already or in part."""
    outage = Outage(log, who, first_seconds=_FIRST_TRY_SECONDS, longest_seconds=_LONGEST_TRY_SECONDS)
    while True:
        try:
            result = await work()
        except UnavailableError as error:
            await asyncio.sleep(outage.await_database(error))
        else:
            outage.went_well()
            return result
