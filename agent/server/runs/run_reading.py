"""Runs as they are looked at: one with all that belongs to it, lists of them, and what waits for a machine."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from agent.clock import Clock
from agent.server.events.views import RunView, view_run
from agent.server.process.paging import Page, RowId, cut, next_cursor
from agent.server.runs.run_details import RunDetails, load_run
from agent.server.runs.runs import Runs
from agent.server.store import deployments, jobs, queue, runs
from agent.server.store.database import Database
from agent.spec.status import RunStatus


@dataclass(frozen=True, slots=True)
class JobInQueue:
    """A job in the queue: since when, in seconds since the epoch, and why (empty: nobody has looked yet)."""

    run: int
    id: str
    key: str
    queued_at: float
    reason: str


class RunReading:
    """Reads runs. Each call is one snapshot."""

    def __init__(self, database: Database, driver: Runs, clock: Clock) -> None:
        self._database = database
        self._driver = driver
        self._clock = clock

    async def load(self, run: int, attempt: int = 0) -> RunDetails:
        """All of a run, in its attempt of that number (0: the last one). Raises NotFoundError."""
        return await load_run(self._database, self._driver, run, attempt, now=self._clock.now())

    async def list_of(
        self, project: int, page: Page, status: RunStatus | None
    ) -> tuple[list[RunView], str | None]:
        """The project's runs, newest first, each with its jobs that are held."""
        async with self._database.read() as connection:
            found = await runs.list_runs(
                connection, project, limit=page.limit + 1, before=page.after(RowId), status=status
            )
            shown = cut(found, page.limit)
            held = await jobs.list_held(connection, [row.id for row in shown])
            names = await deployments.names_of(connection, [row.id for row in shown])
        views = [view_run(row) for row in shown]
        for view in views:
            view.held = held.get(view.id, [])
            view.deployment = names.get(view.id, "")
        return views, next_cursor(found, page.limit, shown[-1].id if shown else 0)

    async def list_newest(self, projects: Mapping[int, str], limit: int) -> list[tuple[str, RunView]]:
        """The newest runs of these projects, each with its project's name."""
        async with self._database.read() as connection:
            rows = await runs.list_newest(connection, list(projects), limit)
        return [(projects[row.project], view_run(row)) for row in rows]

    async def list_waiting(self, projects: Collection[int]) -> list[JobInQueue]:
        """The queue, as far as it is of these projects."""
        async with self._database.read() as connection:
            rows = await queue.list_queued(connection)
        return [
            JobInQueue(row.run, row.id, row.key, row.queued_at, row.waiting)
            for row in rows
            if row.project in projects
        ]

    async def find_state(self, project: int, flow: str) -> str | None:
        """How the newest run of a flow stands; None: it never ran."""
        async with self._database.read() as connection:
            return await runs.find_state(connection, project, flow)
