"""The database: how it is opened, and the two kinds of connection, `read` and `write`.

On SQLite writers take the write lock when they begin, one after the other; on PostgreSQL they run side by side, and
whoever changes a run's rows locks the run first (`agent.server.changes`). Readers see one snapshot and wait for nobody.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import Connection as SyncConnection
from sqlalchemy.ext.asyncio import AsyncConnection as Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from agent.errors import DamagedError
from agent.server.store import migrations
from agent.server.store.engines import Where, make_engine, read_where
from agent.server.store.failures import translate_failures
from agent.server.store.locks import lock_name

__all__ = ["Connection", "Database", "open_database"]

DEFAULT_POOL = 16
SCHEMA_LOCK = (
    0x666C6F77_0001  # of whoever makes or upgrades the tables: PostgreSQL's advisory locks are numbers
)
_SNAPSHOT = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


class Database:
    """An open database. Close it with `close`. What fails by itself is an UnavailableError."""

    def __init__(self, engine: AsyncEngine, where: Where, most_writers: int = 1) -> None:
        self.where = where
        self._engine = engine
        # One writer at a time is SQLite's rule; on PostgreSQL those that wait for a run must leave connections to
        # the others. Queueing here is fair and cheap.
        self._writing = asyncio.Semaphore(most_writers)
        self._writer: Connection | None = None

    @property
    def is_shared(self) -> bool:
        """Whether other server processes may work on it too."""
        return not self.where.is_sqlite

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """A connection that sees one consistent snapshot."""
        async with self._connect() as plain:
            yield await plain.execution_options(**_SNAPSHOT) if self.is_shared else plain

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Connection]:
        """One transaction: committed when the block ends, undone when it raises."""
        async with self._writing:
            if self.is_shared:
                async with self._connect() as plain, plain.begin():
                    yield plain
                return
            connection = await self._get_writer()
            try:
                with translate_failures(str(self.where)):
                    async with connection.begin():
                        yield connection
            except BaseException:
                # Undone. Whether the connection is as good as new is not worth finding out.
                self._writer = None
                await connection.close()
                raise

    async def _get_writer(self) -> Connection:
        """SQLite's one connection that writes; kept, as taking one from the pool costs more than most changes."""
        if self._writer is None:
            with translate_failures(str(self.where), connecting=True):
                plain = await self._engine.connect()
            self._writer = await plain.execution_options(writes=True)
        return self._writer

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Be the only one of all processes who holds `name`, while others write. An embedded database has no others."""
        if not self.is_shared:
            yield
            return
        async with self._connect() as connection, connection.begin():
            await lock_name(connection, name)
            yield

    async def close(self) -> None:
        """Give all connections back."""
        if self._writer is not None:
            await self._writer.close()
            self._writer = None
        await self._engine.dispose()

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[Connection]:
        with translate_failures(str(self.where), connecting=True):
            connection = await self._engine.connect()
        try:
            with translate_failures(str(self.where)):
                yield connection
        finally:
            await connection.close()


async def open_database(place: Path | str, *, pool_size: int = DEFAULT_POOL) -> Database:
    """The database at `place` (a SQLite file, or a URL), its tables made when it is empty.

    Raises DamagedError when another version of this software has made it, UnavailableError, RefusedError.
    """
    where = Where(place) if isinstance(place, Path) else read_where(place)
    most_writers = 1 if where.is_sqlite else max(1, pool_size // 2)
    database = Database(make_engine(where, pool_size=pool_size), where, most_writers)
    try:
        async with database.write() as connection:
            await connection.run_sync(_create_or_check, str(where))
    except BaseException:
        await database.close()
        raise
    return database


def lock_schema(connection: SyncConnection) -> None:
    """Be the only one who makes or upgrades tables until this transaction ends."""
    if connection.dialect.name != "sqlite":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": SCHEMA_LOCK})


def _create_or_check(connection: SyncConnection, where: str) -> None:
    """Make the tables, or check that they are of this version's schema; upgrading is `migrate`'s business."""
    if migrations.current(connection) is None:
        lock_schema(connection)
    found = migrations.current(connection)
    if found is None:
        migrations.create(connection, time.time())
    elif found != migrations.newest():
        raise refuse_schema(found, where)


def refuse_schema(found: str, where: str) -> DamagedError:
    """Why a database of schema `found` is not served."""
    is_older = found in migrations.revisions()
    return DamagedError(
        f"the database has schema {found}, this version reads {migrations.newest()}",
        where=where,
        hint="`agent server migrate` upgrades it" if is_older else "start the version that upgraded it",
    )
