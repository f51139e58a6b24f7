"""Telemetry of runs: what a committed change made of runs and jobs goes to the metrics, and an ended run to its trace.

It happens behind the change, in a task of its own. What goes wrong here is logged and hurts no run; a queue that is
full drops what is new.
"""

import asyncio
import logging
from collections.abc import Sequence

from agent.server.process.metrics import Metrics, Told
from agent.server.process.traces import Traces
from agent.server.store import projects
from agent.server.store.database import Database
from agent.server.store.outage import Outage
from agent.server.store.runs import RunRow

log = logging.getLogger("agent.server")

_MOST_WAITING = 10_000


class Telemetry:
    """The looker-on of one server process."""

    def __init__(self, database: Database, metrics: Metrics, traces: Traces | None) -> None:
        self._database = database
        self._metrics = metrics
        self._traces = traces
        self._waiting: asyncio.Queue[tuple[float, Sequence[Told]]] = asyncio.Queue(_MOST_WAITING)
        self._projects: dict[int, str] = {}

    def tell(self, now: float, told: Sequence[Told]) -> None:
        """A change at `now` was committed."""
        if told and not self._waiting.full():
            self._waiting.put_nowait((now, told))

    async def run(self) -> None:
        """Look on until cancelled."""
        outage = Outage(log, "the figures")
        while True:
            now, told = await self._waiting.get()
            with outage:  # whatever goes wrong is only about figures, and the run has gone on
                await self._note(now, told)

    async def _note(self, now: float, told: Sequence[Told]) -> None:
        runs = [row for row in told if isinstance(row, RunRow)]
        async with self._database.read() as connection:
            if any(row.project not in self._projects for row in runs):
                self._projects = await projects.names(connection)
            self._metrics.note_changes(now, told, self._projects)
            for row in runs:
                if self._traces is not None and row.finished_at == now:
                    await self._traces.export_run(connection, row, self._projects.get(row.project, ""))
