"""Kept records of flows of stages: segments whose bytes lie in blobs, a row each."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import record_segments as table
from agent.server.store.states import SegmentKind


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A segment: so many records of a job, that came in between two moments."""

    id: int
    project: int
    flow: str
    run: int
    job: str
    kind: SegmentKind
    blob: str
    size_bytes: int
    records: int
    first_at: float
    last_at: float
    kept_at: float


_COLUMNS = [table.c[name] for name in SegmentRow.__slots__]


async def add_segment(connection: AsyncConnection, **values: object) -> None:
    """A segment whose bytes are stored."""
    await connection.execute(insert(table).values(**values))


async def list_of_run(
    connection: AsyncConnection,
    run: int,
    *,
    before: int | None,
    kinds: Collection[SegmentKind],
    since: float,
    until: float,
    limit: int,
) -> list[SegmentRow]:
    """The run's segments of these kinds that may hold records of that time, the newest first, up to the number `before`."""
    query = select(*_COLUMNS).where(
        table.c.run == run, table.c.kind.in_(list(kinds)), table.c.last_at >= since, table.c.first_at <= until
    )
    if before is not None:
        query = query.where(table.c.id <= before)
    rows = await connection.execute(query.order_by(table.c.id.desc()).limit(limit))
    return [SegmentRow(*row) for row in rows]


async def size_of(connection: AsyncConnection, project: int, kind: SegmentKind) -> int:
    """The bytes of all the project's segments of a kind."""
    query = select(func.coalesce(func.sum(table.c.size_bytes), 0)).where(
        table.c.project == project, table.c.kind == kind
    )
    return int((await connection.execute(query)).scalar_one())


async def list_over(
    connection: AsyncConnection, project: int, flow: str, kind: SegmentKind, *, most: int, most_bytes: int
) -> list[SegmentRow]:
    """The flow's oldest segments of a kind, so many that those behind them hold `most` records or `most_bytes`."""
    order = table.c.id.desc()
    counted = (
        select(
            *_COLUMNS,
            func.sum(table.c.records).over(order_by=order).label("so_many"),
            func.sum(table.c.size_bytes).over(order_by=order).label("so_large"),
        )
        .where(table.c.project == project, table.c.flow == flow, table.c.kind == kind)
        .subquery()
    )
    is_over = (counted.c.so_many - counted.c.records >= most) | (
        counted.c.so_large - counted.c.size_bytes >= most_bytes
    )
    columns = [counted.c[name] for name in SegmentRow.__slots__]
    return [SegmentRow(*row) for row in await connection.execute(select(*columns).where(is_over))]


async def list_old(connection: AsyncConnection, project: int, kept_before: float) -> list[SegmentRow]:
    """The project's segments that were kept before then."""
    query = select(*_COLUMNS).where(table.c.project == project, table.c.kept_at < kept_before)
    return [SegmentRow(*row) for row in await connection.execute(query.order_by(table.c.id))]


async def list_all_of_run(connection: AsyncConnection, run: int) -> list[SegmentRow]:
    """All segments of a run."""
    query = select(*_COLUMNS).where(table.c.run == run)
    return [SegmentRow(*row) for row in await connection.execute(query)]


async def forget_segments(connection: AsyncConnection, ids: Sequence[int]) -> None:
    """Forget segments; their bytes are the caller's business."""
    await connection.execute(delete(table).where(table.c.id.in_(list(ids))))
