"""Journals in the database: how long each is, and its bytes in chunks that follow each other without a gap."""

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store import upsert
from agent.server.store.schema import journal_chunks, journals


async def lock_journal(connection: AsyncConnection, job: str, lease: int) -> int:
    """Be the only one who adds to this journal until this transaction ends: how many bytes it has."""
    new = upsert.insert(connection, journals).values(job=job, lease=lease, size_bytes=0)
    same = {"size_bytes": journals.c.size_bytes}
    statement = new.on_conflict_do_update(index_elements=["job", "lease"], set_=same)
    return int((await connection.execute(statement.returning(journals.c.size_bytes))).scalar_one())


async def find_size(connection: AsyncConnection, job: str, lease: int) -> int:
    """How many bytes the journal has; 0 when there is none."""
    query = select(journals.c.size_bytes).where(journals.c.job == job, journals.c.lease == lease)
    return (await connection.execute(query)).scalar_one_or_none() or 0


async def add_chunk(connection: AsyncConnection, job: str, lease: int, offset: int, data: bytes) -> None:
    """Add bytes at the end of a locked journal."""
    values = {"job": job, "lease": lease, "offset": offset, "data": data}
    await connection.execute(insert(journal_chunks).values(**values))
    size = {"size_bytes": offset + len(data)}
    await connection.execute(
        update(journals).where(journals.c.job == job, journals.c.lease == lease).values(**size)
    )


async def read_bytes(connection: AsyncConnection, job: str, lease: int, offset: int, limit: int) -> bytes:
    """The bytes from `offset` on, at most `limit`."""
    chunk = journal_chunks.c
    mine = (chunk.job == job) & (chunk.lease == lease)
    first = select(func.max(chunk.offset)).where(mine, chunk.offset <= offset).scalar_subquery()
    query = select(chunk.offset, chunk.data).where(mine, chunk.offset >= first, chunk.offset < offset + limit)
    found = (await connection.execute(query.order_by(chunk.offset))).all()
    if not found:
        return b""
    whole = b"".join(row.data for row in found)
    start = offset - found[0].offset
    return whole[start : start + limit]


async def remove_journal(connection: AsyncConnection, job: str, lease: int) -> None:
    """Forget a journal."""
    for table in (journal_chunks, journals):
        await connection.execute(delete(table).where(table.c.job == job, table.c.lease == lease))
