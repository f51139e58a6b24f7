"""Runs that want to be woken: `runs.due_at` says when, and whoever comes first does it. Every server has this loop."""

import logging

from agent.plan import TimePassed
from agent.server.events.changes import Changes
from agent.server.events.live import TIMERS, Bus
from agent.server.runs.runs import Runs
from agent.server.store import runs
from agent.server.store.failures import UnavailableError
from agent.server.store.outage import Outage

log = logging.getLogger("agent.server.runs.timers")

_REST_SECONDS = 1.0  # after something went wrong
_LONGEST_SLEEP_SECONDS = 30.0  # the clock may jump, and a wake-up from another server may be lost


class Timers:
    """Wakes runs when their time has come."""

    def __init__(self, changes: Changes, bus: Bus, driver: Runs) -> None:
        self._changes = changes
        self._bus = bus
        self._driver = driver

    async def run(self) -> None:
        """Work until cancelled."""
        outage = Outage(log, "the timers")
        with self._bus.listen(TIMERS) as listener:
            while True:
                with outage:
                    outage.seconds = await self._work()
                await listener.wait(outage.seconds)

    async def _work(self) -> float:
        """Wake what is due; give the seconds until the next one is."""
        async with self._changes.database.read() as connection:
            due = await runs.list_due(connection, self._changes.clock.now())
        stumbled = False
        for run in due:
            try:
                async with self._changes.begin() as change:
                    await self._driver.advance(change, run, TimePassed())
            except UnavailableError as error:
                log.warning("run %d is woken later: %s", run, error)
                stumbled = True
            except Exception:  # one broken run must not stop the others: it is told, and tried again
                log.exception("run %d could not be woken", run)
                stumbled = True
        if stumbled:
            return _REST_SECONDS
        async with self._changes.database.read() as connection:
            following = await runs.next_due(connection)
        if following is None:
            return _LONGEST_SLEEP_SECONDS
        return min(max(following - self._changes.clock.now(), 0.001), _LONGEST_SLEEP_SECONDS)
