"""Runs that want to be woken: `runs.due_at` says when, and whoever comes first does it. Every server has this loop."""

import logging

from agent.plan import TimePassed
from agent.server.changes import Changes
from agent.server.live import TIMERS, Bus
from agent.server.runs import Runs
from agent.server.store import runs

log = logging.getLogger("agent.server.timers")

_LONGEST_SLEEP_SECONDS = 30.0  # the clock may jump, and a wake-up from another server may be lost


class Timers:
    """Wakes runs when their time has come."""

    def __init__(self, changes: Changes, bus: Bus, driver: Runs) -> None:
        self._changes = changes
        self._bus = bus
        self._driver = driver

    async def run(self) -> None:
        """Work until cancelled."""
        with self._bus.listen(TIMERS) as listener:
            while True:
                try:
                    seconds = await self._work()
                except Exception:  # one broken run must not stop the others: it is told, and tried again
                    log.exception("the timers stumbled")
                    seconds = 1.0
                await listener.wait(seconds)

    async def _work(self) -> float:
        """Wake what is due; give the seconds until the next one is."""
        async with self._changes.database.read() as connection:
            due = await runs.list_due(connection, self._changes.clock.now())
        for run in due:
            async with self._changes.begin() as change:
                await self._driver.advance(change, run, TimePassed())
        async with self._changes.database.read() as connection:
            following = await runs.next_due(connection)
        if following is None:
            return _LONGEST_SLEEP_SECONDS
        return min(max(following - self._changes.clock.now(), 0.001), _LONGEST_SLEEP_SECONDS)
