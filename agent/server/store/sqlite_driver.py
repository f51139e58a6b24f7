"""SQLite without a thread hop a statement, in the form in which SQLAlchemy knows aiosqlite's connections.

A statement on a file that is in memory takes microseconds, a hop to another thread and back ten times that. So
statements run where they are asked for; what waits for the disk or for another process (a commit, a write lock that
somebody else holds) runs in a thread, and nobody else is held up by it.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.pools import Pool

PATIENCE_SECONDS = 5.0  # how long another process may hold the lock
_CACHE_KIB = 1024  # of each connection; the file's pages are in the kernel's cache anyway


class QuickCursor:
    """A cursor whose coroutines never wait."""

    def __init__(self, connection: "QuickConnection") -> None:
        self._connection = connection
        self._cursor = connection.plain.cursor()

    async def __aenter__(self) -> Self:
        return self

    @property
    def description(self) -> Any:
        """DB-API."""
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        """DB-API."""
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        """DB-API."""
        return self._cursor.lastrowid

    @property
    def arraysize(self) -> int:
        """DB-API."""
        return self._cursor.arraysize

    @arraysize.setter
    def arraysize(self, value: int) -> None:
        self._cursor.arraysize = value

    async def execute(self, operation: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement here; in a thread, and patiently, when somebody else has the lock."""
        try:
            self._cursor.execute(operation, parameters)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            await self._connection.wait_for(lambda: self._cursor.execute(operation, parameters))

    async def executemany(self, operation: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each."""
        self._cursor.executemany(operation, parameters)

    async def fetchall(self) -> list[Any]:
        """All rows that are left."""
        return self._cursor.fetchall()

    async def fetchone(self) -> Any:
        """The next row."""
        return self._cursor.fetchone()

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """The next rows."""
        return self._cursor.fetchmany(size or self._cursor.arraysize)

    async def close(self) -> None:
        """Let go of the statement."""
        self._cursor.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)


class QuickConnection:
    """A connection; transactions are begun by statements, never by the driver."""

    def __init__(self, plain: sqlite3.Connection, threads: Pool) -> None:
        self.plain = plain
        self._threads = threads
        self._is_open = True
        self._changes_before = 0
        self.patience_seconds = PATIENCE_SECONDS

    @property
    def _connection(self) -> "QuickConnection | None":
        """What SQLAlchemy looks at to see whether it is open."""
        return self if self._is_open else None

    @property
    def isolation_level(self) -> str | None:
        """None: the driver begins nothing."""
        return self.plain.isolation_level

    def cursor(self) -> QuickCursor:
        """A new cursor."""
        return QuickCursor(self)

    async def create_function(self, *arguments: Any, **more: Any) -> None:
        """DB-API of sqlite3: SQLAlchemy brings a function for regular expressions."""
        self.plain.create_function(*arguments, **more)

    async def commit(self) -> None:
        """Make it durable. Waits for the disk, and lets others go on meanwhile."""
        if self.plain.in_transaction and self.plain.total_changes != self._changes_before:
            await self._apart(self.plain.commit)
            self._changes_before = self.plain.total_changes
        elif self.plain.in_transaction:
            self.plain.commit()  # nothing was changed: nothing is written

    async def rollback(self) -> None:
        """Undo."""
        if self.plain.in_transaction:
            self.plain.rollback()

    async def close(self) -> None:
        """The end."""
        self.stop()

    def stop(self) -> None:
        """The end, at once."""
        if self._is_open:
            self._is_open = False
            self.plain.close()

    async def wait_for(self, work: Callable[[], Any]) -> None:
        """Do `work` in a thread, waiting there for whoever has the lock."""

        def wait() -> None:
            self.plain.execute(f"PRAGMA busy_timeout={round(self.patience_seconds * 1000)}")
            try:
                work()
            finally:
                self.plain.execute("PRAGMA busy_timeout=0")

        await self._apart(wait)

    async def _apart(self, work: Callable[[], Any]) -> None:
        """In a thread; whoever gives up waiting waits all the same until the connection is free again."""
        task = asyncio.ensure_future(self._threads.run(work))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task})
            raise


async def connect_quickly(file: Path, threads: Pool) -> QuickConnection:
    """Open the database in `file`; what waits does so in `threads`."""
    plain = sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)
    plain.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    return QuickConnection(plain, threads)


def plain_connection(connection: AsyncConnection) -> sqlite3.Connection:
    """The driver's own connection under SQLAlchemy's; only for the embedded store."""
    return quick_connection(connection).plain


def quick_connection(connection: AsyncConnection) -> QuickConnection:
    """Our connection under SQLAlchemy's; only for the embedded store."""
    sync = connection.sync_connection
    assert sync is not None
    driver: Any = sync.connection.driver_connection
    assert isinstance(driver, QuickConnection)
    return driver
