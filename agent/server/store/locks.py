"""Locks: who may change what at the same time. On SQLite there is one writer, and nothing needs to be locked.

On PostgreSQL whoever changes the rows of a run or of its jobs locks the run first. What a transaction locks, in order:
one run (or several, by their numbers), then agents, then anything else; so no two wait for each other.
"""

import hashlib

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import runs
from agent.server.store.upsert import is_sqlite


async def lock_run(connection: AsyncConnection, run: int, *, waits: bool = True) -> bool:
    """Be the only one who changes the run and its jobs until this transaction ends.

    `waits` False: give up at once when somebody else has it, and say so. Rows that point to the run can still be added.
    """
    if is_sqlite(connection):
        return True
    query = select(runs.c.id).where(runs.c.id == run)
    found = await connection.execute(query.with_for_update(key_share=True, skip_locked=not waits))
    return found.first() is not None


async def lock_name(connection: AsyncConnection, name: str) -> None:
    """Be the only one who holds `name` until this transaction ends: for what has no row to lock yet."""
    if not is_sqlite(connection):
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
