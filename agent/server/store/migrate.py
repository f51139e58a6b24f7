"""Migration of a database to this version's schema: what `agent server migrate` does, and the embedded server at its start."""

import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import Connection as SyncConnection

from agent.server.store import migrations
from agent.server.store.database import Database, lock_schema, refuse_schema
from agent.server.store.engines import Where, make_engine, read_where


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The schema that a database has (None: it is empty) and the one that this version reads."""

    found: str | None
    newest: str

    @property
    def is_current(self) -> bool:
        """Whether there is nothing to do."""
        return self.found == self.newest


async def read_standing(place: Path | str) -> SchemaState:
    """How the database at `place` stands; nothing is changed. Raises UnavailableError, RefusedError."""
    database = _open(place)
    try:
        async with database.read() as connection:
            return SchemaState(await connection.run_sync(migrations.current), migrations.newest())
    finally:
        await database.close()


async def migrate(place: Path | str) -> SchemaState:
    """Make the tables, or upgrade them, in one transaction: how it stood before.

    A SQLite file is copied aside before it is upgraded: `FILE.schema-0001`. Raises DamagedError for a newer schema,
    which is left alone; UnavailableError, RefusedError.
    """
    database = _open(place)
    try:
        async with database.write() as connection:
            found = await connection.run_sync(_migrate, database.where)
        return SchemaState(found, migrations.newest())
    finally:
        await database.close()


def _open(place: Path | str) -> Database:
    where = Where(place) if isinstance(place, Path) else read_where(place)
    return Database(make_engine(where, pool_size=1, foreign_keys=False), where)


def _migrate(connection: SyncConnection, where: Where) -> str | None:
    lock_schema(connection)
    found = migrations.current(connection)
    if found is None:
        migrations.create(connection, time.time())
    elif found not in migrations.revisions():
        raise refuse_schema(found, str(where))
    elif found != migrations.newest():
        if isinstance(where.place, Path):
            _copy_aside(where.place, found)
        migrations.upgrade(connection)
    return found


def _copy_aside(file: Path, schema: str) -> None:
    """A copy of the file as it is committed, for the way back; one that is there already is older and stays."""
    copy = file.with_name(f"{file.name}.schema-{schema}")
    if copy.exists():
        return
    partial = copy.with_name(f"{copy.name}.partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(partial)) as target:
        source.backup(target)
    descriptor = os.open(partial, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    partial.replace(copy)
