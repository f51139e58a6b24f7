"""The database: how it is opened, and the two kinds of connection, `read` and `write`.

On SQLite writers come one after the other and share commits (`agent.server.store.embedded`); on PostgreSQL they run side
by side, and whoever changes a run's rows locks the run first (`agent.server.events.changes`). Readers see one snapshot and wait
for nobody.
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
from agent.server.pools import Pool
from agent.server.store import migrations
from agent.server.store.embedded import EmbeddedStore
from agent.server.store.engines import Where, make_engine, read_where
from agent.server.store.failures import UnavailableError, translate_failures
from agent.server.store.locks import lock_name

__all__ = ["Connection", "Database", "open_database"]

DEFAULT_POOL = 16
SCHEMA_LOCK = (
    0x666C6F77_0001  # of whoever makes or upgrades the tables: PostgreSQL's advisory locks are numbers
)
_TURN_SECONDS = 5.0  # with what a lock is then waited for (`engines`), less than a client's patience
_SNAPSHOT = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


class Database:
    """An open database. Close it with `close`. What fails by itself is an UnavailableError."""

    def __init__(self, engine: AsyncEngine, where: Where, most_writers: int = 1) -> None:
        self.where = where
        self._engine = engine
        self._embedded = EmbeddedStore(engine, where) if where.is_sqlite else None
        # Those that wait for a run must leave connections to the others. Queueing here is fair and cheap.
        self._writing = asyncio.Semaphore(most_writers)

    @property
    def is_shared(self) -> bool:
        """Whether other server processes may work on it too."""
        return not self.where.is_sqlite

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """A connection that sees one consistent snapshot."""
        if self._embedded is not None:
            async with self._embedded.read() as connection:
                yield connection
            return
        async with self._connect() as plain:
            yield await plain.execution_options(**_SNAPSHOT)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Connection]:
        """One transaction: committed when the block ends, undone when it raises."""
        if self._embedded is not None:
            async with self._embedded.write() as connection:
                yield connection
            return
        async with self._turn(), self._connect() as plain, plain.begin():
            yield plain

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One of those who may write. Raises UnavailableError when those before don't get on."""
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await self._writing.acquire()
        except TimeoutError:
            raise UnavailableError(
                "the database can't be used right now: too many wait for it",
                where=str(self.where),
                hint="try again in a moment",
            ) from None
        try:
            yield
        finally:
            self._writing.release()

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
        if self._embedded is not None:
            await self._embedded.close()
        await self._engine.dispose()

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[Connection]:
        with translate_failures(str(self.where), connecting=True):
            connection = await self._engine.connect()
        with translate_failures(str(self.where)):
            try:
                yield connection
            finally:
                # It ends what a reader has begun, and the database may be lost just then.
                await connection.close()


async def open_database(
    place: Path | str, *, pool_size: int = DEFAULT_POOL, threads: Pool | None = None
) -> Database:
    """The database at `place` (a SQLite file, or a URL), its tables made when it is empty.

    `threads` are those in which an embedded one waits for its disk.

    Raises DamagedError when another version of this software has made it, UnavailableError, RefusedError.
    """
    where = Where(place) if isinstance(place, Path) else read_where(place)
    database = Database(
        make_engine(where, pool_size=pool_size, threads=threads), where, max(1, pool_size // 2)
    )
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
