"""Sealed values under the master key, wherever they lie: read and replaced record by record."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, LargeBinary, and_, func, select, update

from agent.server.store.database import Connection, Database
from agent.server.store.schema import (
    id_token_keys,
    idempotency_keys,
    metadata,
    repositories,
    run_secrets,
    secrets,
    webhooks,
)

_HEAD_BYTES = 9  # of a record: agent.seal.envelope
_COLUMNS: tuple[Column[Any], ...] = (
    secrets.c.sealed,
    run_secrets.c.sealed,
    repositories.c.credentials,
    repositories.c.secret,
    webhooks.c.secret,
    idempotency_keys.c.answer,
    id_token_keys.c.sealed,
)


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """A record, and where it lies: the table's name, the column's, and the row's key."""

    table: str
    column: str
    key: Mapping[str, Any]
    record: bytes


async def list_heads(connection: Connection) -> set[bytes]:
    """The beginnings of all records but those of kept answers, which are forgotten in a day: they name the keys."""
    found: set[bytes] = set()
    for column in _COLUMNS:
        if column.table is not idempotency_keys:
            head = func.substr(column, 1, _HEAD_BYTES, type_=LargeBinary)
            rows = await connection.execute(select(head).where(column.is_not(None)).distinct())
            found.update(bytes(row[0]) for row in rows)
    return found


async def list_sealed(database: Database) -> AsyncIterator[SealedRecord]:
    """All encrypted records, table by table."""
    for column in _COLUMNS:
        table = column.table
        keys = list(metadata.tables[table.name].primary_key.columns)
        async with database.read() as connection:
            rows = (await connection.execute(select(*keys, column).where(column.is_not(None)))).all()
        for *key, record in rows:
            named = {part.name: value for part, value in zip(keys, key, strict=True)}
            yield SealedRecord(table.name, column.name, named, bytes(record))


async def replace_sealed(connection: Connection, old: SealedRecord, new: bytes) -> bool:
    """Store `new` in the place of a record; False when somebody has changed it meanwhile."""
    table = metadata.tables[old.table]
    is_it = and_(*(table.c[name] == value for name, value in old.key.items()))
    statement = update(table).where(is_it, table.c[old.column] == old.record).values({old.column: new})
    return (await connection.execute(statement)).rowcount == 1
