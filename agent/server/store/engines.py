"""Engines: how each store is reached, and how its connections are set up.

SQLite in WAL mode with `synchronous=FULL`: what was committed survives a power cut. PostgreSQL through asyncpg, which
reads the URL as libpq would (several hosts, `sslmode`, a socket's folder), so that it finds the primary after a failover.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.engine import Connection as SyncConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agent.errors import UsageError
from agent.server.pools import STORE, Pool
from agent.server.store.sqlite_driver import connect_quickly

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA busy_timeout=0",
)  # waiting: sqlite_driver
_SESSION = {  # what a server process that hangs or vanishes may not hold for longer
    "application_name": "flow-agent",
    "lock_timeout": "10s",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_CONNECT_SECONDS = 10.0
_POOL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Where:
    """Which database: a SQLite file, or a PostgreSQL URL."""

    place: Path | str

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of ours alone."""
        return isinstance(self.place, Path)

    def __str__(self) -> str:
        """As it may be shown: no password, no parameters."""
        if isinstance(self.place, Path):
            return str(self.place)
        parts = urlsplit(self.place)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def read_where(text: str) -> Where:
    """The database that `text` names: `postgresql://...`, `sqlite:///FILE`. Raises UsageError for any other."""
    scheme, _, rest = text.partition("://")
    if scheme in ("postgresql", "postgres"):
        return Where(f"postgresql://{rest}")
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return Where(Path(rest[1:]))
    raise UsageError(
        "the database's URL is neither PostgreSQL's nor a SQLite file's",
        where="--database-url",
        hint="such as postgresql://flows@db.example.org/flows",
    )


def make_engine(
    where: Where, *, pool_size: int, foreign_keys: bool = True, threads: Pool | None = None
) -> AsyncEngine:
    """An engine; nothing is connected yet. `foreign_keys` off is for SQLite's migrations, which rebuild tables.

    `threads` are those in which the embedded store waits.
    """
    if isinstance(where.place, Path):
        url = URL.create("sqlite+aiosqlite", database=str(where.place))
        engine = create_async_engine(
            url, async_creator=partial(connect_quickly, where.place, threads or Pool(STORE))
        )
        event.listen(engine.sync_engine, "connect", _make_prepare(is_checked=foreign_keys))
        event.listen(engine.sync_engine, "begin", _begin)
        return _without_nul(engine)
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=_make_creator(where.place),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_POOL_SECONDS,
        pool_pre_ping=True,
    )
    return _without_nul(engine)


def _without_nul(engine: AsyncEngine) -> AsyncEngine:
    """U+0000 in a text becomes U+FFFD: jobs may say it in any word, and PostgreSQL has no place for it."""

    def replace(*given: Any) -> tuple[str, Any]:
        _connection, _cursor, statement, parameters, _context, is_many = given
        rows = parameters if is_many else (parameters,)
        if any(isinstance(value, str) and "\x00" in value for row in rows for value in _values(row)):
            cleaned = [_clean(row) for row in rows]
            parameters = cleaned if is_many else cleaned[0]
        return statement, parameters

    event.listen(engine.sync_engine, "before_cursor_execute", replace, retval=True)
    return engine


def _values(row: Any) -> Iterable[object]:
    return row.values() if isinstance(row, Mapping) else row


def _clean(row: Any) -> Any:
    def clean(value: Any) -> Any:
        return value.replace("\x00", "\ufffd") if isinstance(value, str) else value

    if isinstance(row, Mapping):
        return {name: clean(value) for name, value in row.items()}
    return tuple(clean(value) for value in row)


async def connect_raw(url: str) -> Any:
    """A connection of asyncpg's own, for LISTEN."""
    import asyncpg

    connect: Callable[..., Coroutine[Any, Any, Any]] = asyncpg.connect
    return await connect(url, timeout=_CONNECT_SECONDS, server_settings=_SESSION)


def _make_creator(url: str) -> Callable[[], Coroutine[Any, Any, Any]]:
    async def connect() -> Any:
        return await connect_raw(url)

    return connect


def _make_prepare(*, is_checked: bool) -> Callable[[Any, object], None]:
    def prepare(dbapi_connection: Any, _record: object) -> None:
        cursor = dbapi_connection.cursor()
        for pragma in (*_PRAGMAS, f"PRAGMA foreign_keys={'ON' if is_checked else 'OFF'}"):
            cursor.execute(pragma)
        cursor.close()

    return prepare


def _begin(connection: SyncConnection) -> None:
    if connection.get_execution_options().get("writes", False):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    driver: Any = connection.connection.driver_connection
    if not driver.plain.in_transaction:  # else a hot statement has begun it
        connection.exec_driver_sql("BEGIN")
