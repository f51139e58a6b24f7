"""Events of a run, numbered as they happen: what viewers read on from."""

from dataclasses import dataclass

from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.hot import Hot
from agent.server.store.schema import events, runs
from agent.server.store.upsert import is_sqlite

_ADD = Hot(insert(events))


@dataclass(frozen=True, slots=True)
class EventRow:
    """One change of a run or of one of its jobs; `data` is JSON text."""

    id: int
    run: int
    kind: str
    data: str
    time: float


async def add_event(connection: AsyncConnection, run: int, kind: str, data: str, now: float) -> None:
    """Note a change, in the transaction that makes it; `data` is JSON text."""
    await _ADD.count(connection, run=run, kind=kind, data=data, time=now)


async def list_events(connection: AsyncConnection, run: int, after: int, limit: int = 500) -> list[EventRow]:
    """The run's events with a number above `after`, in order."""
    query = select(events).where(events.c.run == run, events.c.id > after).order_by(events.c.id).limit(limit)
    return [EventRow(**row) for row in (await connection.execute(query)).mappings()]


async def list_of_project(
    connection: AsyncConnection, project: int, after: int, limit: int = 500
) -> list[EventRow]:
    """The events of all runs of the project with a number above `after`, in order, none left out for ever.

    On PostgreSQL numbers are given before the commit, so a smaller one may come into sight later. Only events of
    transactions that began before all that still run are shown: nothing can appear in front of them.
    """
    query = select(events).join(runs, runs.c.id == events.c.run)
    query = query.where(runs.c.project == project, events.c.id > after).order_by(events.c.id).limit(limit)
    if not is_sqlite(connection):
        query = query.where(text("age(events.xmin) > age(pg_snapshot_xmin(pg_current_snapshot())::xid)"))
    return [EventRow(**row) for row in (await connection.execute(query)).mappings()]


async def last_number(connection: AsyncConnection) -> int:
    """The newest event's number; 0 when there is none."""
    return int((await connection.execute(select(func.max(events.c.id)))).scalar() or 0)
