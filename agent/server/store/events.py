"""Events of a run, numbered as they happen: what viewers read on from."""

from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import events


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
    await connection.execute(insert(events).values(run=run, kind=kind, data=data, time=now))


async def list_events(connection: AsyncConnection, run: int, after: int, limit: int = 500) -> list[EventRow]:
    """The run's events with a number above `after`, in order."""
    query = select(events).where(events.c.run == run, events.c.id > after).order_by(events.c.id).limit(limit)
    return [EventRow(**row) for row in (await connection.execute(query)).mappings()]
