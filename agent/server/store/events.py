"""Events of a run, numbered as they happen: what viewers read on from."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.hot import Hot
from agent.server.store.locks import lock_name
from agent.server.store.schema import events, runs

_ADD = Hot(insert(events))


@dataclass(frozen=True, slots=True)
class EventRow:
    """One change of a run or of one of its jobs; `data` is JSON text."""

    id: int
    run: int
    kind: str
    data: str
    time: float


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event in the making; `data` is JSON text."""

    run: int
    kind: str
    data: str


async def add_events(connection: AsyncConnection, news: Sequence[NewEvent], now: float) -> None:
    """Note changes, as the last thing before the commit of the transaction that makes them.

    From here to the commit nobody else does so: events come into sight in the order of their numbers.
    """
    await lock_name(connection, "events")
    for item in news:
        await _ADD.count(connection, run=item.run, kind=item.kind, data=item.data, time=now)


async def list_events(connection: AsyncConnection, run: int, after: int, limit: int = 500) -> list[EventRow]:
    """The run's events with a number above `after`, in order."""
    query = select(events).where(events.c.run == run, events.c.id > after).order_by(events.c.id).limit(limit)
    return [EventRow(**row) for row in (await connection.execute(query)).mappings()]


async def list_of_project(
    connection: AsyncConnection, project: int, after: int, limit: int = 500
) -> list[EventRow]:
    """The events of all runs of the project with a number above `after`, in order."""
    query = select(events).join(runs, runs.c.id == events.c.run)
    query = query.where(runs.c.project == project, events.c.id > after).order_by(events.c.id).limit(limit)
    return [EventRow(**row) for row in (await connection.execute(query)).mappings()]


async def last_number(connection: AsyncConnection) -> int:
    """The newest event's number; 0 when there is none."""
    return int((await connection.execute(select(func.max(events.c.id)))).scalar() or 0)
