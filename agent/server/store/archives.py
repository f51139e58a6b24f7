"""Archives of journals: which are to be made, and where those are that have been. `agent.server.store.states` has the table.

Who moves one on says what it was when he took it. False means that somebody else was quicker.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.hot import Hot
from agent.server.store.schema import archives
from agent.server.store.states import ARCHIVES, ArchiveState
from agent.server.store.upsert import insert


@dataclass(frozen=True, slots=True)
class ArchiveRow:
    """The journal of one lease, when the lease is over."""

    job: str
    lease: int
    state: ArchiveState
    due_at: float | None
    blob: str
    size_bytes: int
    journal_bytes: int


_WANT = Hot(lambda connection: insert(connection, archives).on_conflict_do_nothing())


async def want_archive(connection: AsyncConnection, job: str, lease: int, due_at: float) -> None:
    """The lease is over: its journal is to be archived from `due_at` on. Said twice is said once."""
    await _WANT.count(
        connection,
        job=job,
        lease=lease,
        state=ArchiveState.WAITING,
        due_at=due_at,
        blob="",
        size_bytes=0,
        journal_bytes=0,
    )


async def find_archive(connection: AsyncConnection, job: str, lease: int) -> ArchiveRow | None:
    """What is known of the journal's archive."""
    query = select(archives).where(archives.c.job == job, archives.c.lease == lease)
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else ArchiveRow(**row)


async def list_due(connection: AsyncConnection, now: float, limit: int) -> list[ArchiveRow]:
    """What somebody has to work on, the longest due first."""
    query = select(archives).where(archives.c.due_at <= now).order_by(archives.c.due_at).limit(limit)
    return [ArchiveRow(**row) for row in (await connection.execute(query)).mappings()]


async def next_due(connection: AsyncConnection) -> float | None:
    """When there is work again."""
    query = select(archives.c.due_at).where(archives.c.due_at.is_not(None))
    return (await connection.execute(query.order_by(archives.c.due_at).limit(1))).scalar_one_or_none()


async def claim(connection: AsyncConnection, row: ArchiveRow, until: float) -> bool:
    """Take the work until then; False when somebody else has."""
    statement = update(archives).where(*_is(row), archives.c.due_at == row.due_at).values(due_at=until)
    return (await connection.execute(statement)).rowcount == 1


async def store(connection: AsyncConnection, row: ArchiveRow, stored: ArchiveRow) -> bool:
    """The archive is in the blob store; False when somebody else has made one. Raises ImpossibleTransitionError."""
    return await _move(
        connection,
        row,
        stored.state,
        blob=stored.blob,
        size_bytes=stored.size_bytes,
        journal_bytes=stored.journal_bytes,
    )


async def finish(connection: AsyncConnection, row: ArchiveRow, state: ArchiveState) -> bool:
    """Nothing is left to do; False when somebody else was quicker. Raises ImpossibleTransitionError."""
    return await _move(connection, row, state, due_at=None)


async def forget(connection: AsyncConnection, row: ArchiveRow) -> bool:
    """The log is gone; that there was one is still known. False when somebody else was quicker."""
    return await _move(connection, row, ArchiveState.GONE, blob="", size_bytes=0)


async def _move(connection: AsyncConnection, row: ArchiveRow, new: ArchiveState, **values: object) -> bool:
    ARCHIVES.check(row.state, new)
    statement = update(archives).where(*_is(row)).values(state=new, **values)
    return (await connection.execute(statement)).rowcount == 1


def _is(row: ArchiveRow) -> list[ColumnElement[bool]]:
    return [archives.c.job == row.job, archives.c.lease == row.lease, archives.c.state == row.state]
