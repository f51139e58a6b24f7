"""Long events of runs: each one's document in parts, as `agent.spec.event_apart` has it, compressed one by one."""

from collections.abc import Sequence

from sqlalchemy import bindparam, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.hot import Hot
from agent.server.store.schema import event_parts

_LIST = Hot(
    select(event_parts.c.data).where(event_parts.c.run == bindparam("wanted")).order_by(event_parts.c.place)
)
_FIND = Hot(
    select(event_parts.c.data).where(
        event_parts.c.run == bindparam("wanted"), event_parts.c.place == bindparam("at")
    )
)


async def add_parts(connection: AsyncConnection, run: int, parts: Sequence[bytes]) -> None:
    """Store the document of a new run."""
    for place, data in enumerate(parts):  # one a statement: a driver holds what a statement has in memory
        await connection.execute(insert(event_parts).values(run=run, place=place, data=data))


async def list_parts(connection: AsyncConnection, run: int) -> list[bytes]:
    """The parts of the run's document, in order; none where it has none."""
    return [bytes(data) for (data,) in await _LIST.rows(connection, wanted=run)]


async def find_part(connection: AsyncConnection, run: int, place: int) -> bytes | None:
    """The part of that number, from 0; None where there is none."""
    row = await _FIND.row(connection, wanted=run, at=place)
    return None if row is None else bytes(row[0])
