"""The database: how it is opened, and the two kinds of connection, `read` and `write`.

SQLite in WAL mode with `synchronous=FULL`: what was committed survives a power cut. Readers see one snapshot and
wait for nobody. Writers take the write lock when they begin, so a transaction never fails half-way for want of it.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection as SyncConnection
from sqlalchemy.ext.asyncio import AsyncConnection as Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agent.errors import DamagedError
from agent.server.store import migrations

__all__ = ["Connection", "Database", "open_database"]

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=10000",
)


class Database:
    """An open database. Close it with `close`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writing = (
            asyncio.Lock()
        )  # one writer at a time is SQLite's rule; queueing here is fair and cheap

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """A connection that sees one consistent snapshot."""
        async with self._engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Connection]:
        """One transaction: committed when the block ends, undone when it raises."""
        async with self._writing, self._engine.connect() as plain:
            connection = await plain.execution_options(writes=True)
            async with connection.begin():
                yield connection

    async def close(self) -> None:
        """Give all connections back."""
        await self._engine.dispose()


async def open_database(file: Path) -> Database:
    """The database in `file`, made when it is not there.

    Raises DamagedError when a newer version of this software has written it.
    """
    engine = create_async_engine(f"sqlite+aiosqlite:///{file}")
    event.listen(engine.sync_engine, "connect", _prepare_connection)
    event.listen(engine.sync_engine, "begin", _begin)
    database = Database(engine)
    try:
        async with database.write() as connection:
            await connection.run_sync(_create_or_check, str(file))
    except BaseException:
        await database.close()
        raise
    return database


def _prepare_connection(dbapi_connection: Any, _record: object) -> None:
    dbapi_connection.isolation_level = None  # transactions are begun by `_begin`, not by the driver's guess
    cursor = dbapi_connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin(connection: SyncConnection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _create_or_check(connection: SyncConnection, where: str) -> None:
    """Make the tables, or check that they are of this version's schema; upgrading is `migrate`'s business."""
    found = migrations.current(connection)
    if found is None:
        migrations.create(connection, time.time())
    elif found != migrations.newest():
        raise DamagedError(
            f"the database has schema {found}, this version reads {migrations.newest()}",
            where=where,
            hint="`agent server migrate` upgrades an older one; for a newer one install that version",
        )
