"""`insert` with `on_conflict_do_nothing` and `on_conflict_do_update`, for whichever store the connection is of."""

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

Insert = sqlite.Insert | postgresql.Insert


def insert(connection: AsyncConnection, table: Table) -> Insert:
    """An insert into `table` that may say what happens when the row is there already; both stores say it alike."""
    return sqlite.insert(table) if is_sqlite(connection) else postgresql.insert(table)


def is_sqlite(connection: AsyncConnection) -> bool:
    """Whether this is the embedded store: one writer at a time, nobody else on the database."""
    return connection.dialect.name == "sqlite"
