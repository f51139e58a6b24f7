"""How a loop bears that the database is away: one line when it begins to wait, longer and longer pauses, one line when it
goes on.

    outage = Outage(log, "the timers")
    while True:
        with outage:
            outage.seconds = await work()
        await sleep(outage.seconds)
"""

import logging
from types import TracebackType
from typing import Self

from agent.server.store.failures import UnavailableError

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 5.0
_REST_SECONDS = 1.0  # after a bug of ours


class Outage:
    """A round of a loop: what goes wrong in it is told and swallowed, since nobody else does the loop's work.

    `seconds` is how long to rest after it: what the round has set, or what came of its failure. `who` does the waiting,
    in the plural.
    """

    def __init__(self, log: logging.Logger, who: str) -> None:
        self.seconds = 0.0
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

    def _bear(self, error: Exception) -> float:
        if not isinstance(error, UnavailableError):
            self._log.error("%s stumbled", self._who, exc_info=error)
            return _REST_SECONDS
        if not self._pause:
            self._log.warning("%s wait: %s", self._who, error)
        self._pause = min(max(2 * self._pause, _FIRST_SECONDS), _LONGEST_SECONDS)
        return self._pause
