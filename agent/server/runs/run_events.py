"""Events of runs, to be read on from a number: those who follow one ask again when they are woken."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.errors import NotFoundError
from agent.server.store import events, runs
from agent.server.store.database import Database
from agent.server.store.events import EventRow
from agent.spec.status import RunStatus


@dataclass(frozen=True, slots=True)
class RunNews:
    """Events in the order of their numbers. `is_over`: the run has ended, and with these all is told."""

    events: Sequence[EventRow]
    is_over: bool


class RunEvents:
    """Reads events. Each call is one snapshot."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_start(self, run: int) -> int:
        """The number behind which the events of the run's present attempt begin. Raises NotFoundError."""
        async with self._database.read() as connection:
            row = await runs.find_run(connection, run)
        if row is None:
            raise NotFoundError(f"there is no run {run}")
        return row.events_after

    async def list_of_run(self, run: int, after: int) -> RunNews:
        """What was told of the run behind `after`: some of it at a time."""
        async with self._database.read() as connection:
            row = await runs.find_run(connection, run)
            found = await events.list_events(connection, run, after)
        return RunNews(found, is_over=not found and (row is None or row.status is RunStatus.COMPLETED))

    async def list_of_project(self, project: int, after: int) -> Sequence[EventRow]:
        """What was told of all runs of the project behind `after`: some of it at a time."""
        async with self._database.read() as connection:
            return await events.list_of_project(connection, project, after)

    async def find_last(self) -> int:
        """The number of the newest event of all."""
        async with self._database.read() as connection:
            return await events.last_number(connection)
