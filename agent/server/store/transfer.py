"""The transfer of all that one store holds into another, whichever each of them is: how PostgreSQL is backed up, and how a
backup of either comes into either.

Rows are read a few at a time and written in one transaction. Each table is read again where it has arrived and must be
the same there, by count and checksum, before that is committed. Journals are rows in PostgreSQL, and files elsewhere.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Select, Table, delete, func, insert, select, text

from agent.errors import DamagedError, RefusedError, UsageError
from agent.server.store import fleet, journal_chunks
from agent.server.store.database import Connection, Database, open_database
from agent.server.store.engines import read_where
from agent.server.store.migrate import read_standing
from agent.server.store.schema import (
    agents,
    jobs,
    journals,
    metadata,
    runs,
    servers,
    tokens,
)
from agent.server.store.schema import journal_chunks as chunks
from agent.server.store.text import without_nul
from agent.server.store.upsert import is_sqlite

_ROWS_AT_ONCE = 16  # few: a webhook's delivery may hold 25 MiB
_CHUNK_BYTES = 256 << 10
_OWN = (servers, journals, chunks)  # who serves right now; and the journals, which go their own way

Tell = Callable[[str], None]  # hears what is being copied


async def export_store(url: str, file: Path, journals_folder: Path, tell: Tell) -> str:
    """Write what PostgreSQL holds at one moment into a new SQLite file and a folder of journals: the installation's id.

    Raises UsageError when no server has ever used it, DamagedError, UnavailableError.
    """
    unused = UsageError("there is no server's data here", where=str(read_where(url)))
    if (await read_standing(url)).found is None:
        raise unused
    source, target = await open_database(url, pool_size=2), await open_database(file)
    try:
        async with source.read() as reading, target.write() as writing:
            await _wait_without_end(reading)
            common = await fleet.find_installation(reading)
            if common is None:
                raise unused
            await _copy_rows(reading, writing, tell)
            await _export_journals(reading, journals_folder, tell)
    finally:
        await source.close()
        await target.close()
    return common.id


async def import_store(
    file: Path, journals_folder: Path, url: str, tell: Tell, *, now: float, replaces: bool = False
) -> None:
    """Have PostgreSQL hold what a SQLite file of this version's schema and a folder of journals do; all, or nothing.

    `replaces`: what is in it goes. Raises UsageError when it is not empty otherwise, RefusedError when a server works
    on it, DamagedError, UnavailableError.
    """
    source, target = await open_database(file), await open_database(url, pool_size=2)
    try:
        async with source.read() as reading, target.write() as writing:
            await _check_free(target, writing, now, replaces=replaces)
            await _wait_without_end(writing)
            await _copy_rows(reading, writing, tell)
            await _import_journals(journals_folder, writing, tell)
    finally:
        await source.close()
        await target.close()


async def list_applied(file: Path) -> dict[tuple[str, int], int]:
    """Up to where the rows in a SQLite file tell of each journal."""
    database = await open_database(file)
    query = select(jobs.c.id, jobs.c.lease, jobs.c.journal_applied)
    try:
        async with database.read() as connection:
            rows = await connection.execute(query)
            return {(row.id, row.lease): row.journal_applied for row in rows}
    finally:
        await database.close()


async def _check_free(target: Database, connection: Connection, now: float, *, replaces: bool) -> None:
    last = await fleet.last_heartbeat(connection)
    if last is not None and now - last < fleet.SILENT_SECONDS:
        raise RefusedError(
            "a server works on this database", where=str(target.where), hint="stop all its servers first"
        )
    for table in (runs, agents, tokens):
        if (await connection.execute(select(table).limit(1))).first() is not None and not replaces:
            raise UsageError(
                "the database is not empty",
                where=str(target.where),
                hint="restore into a new one, or say --replace: what is in it goes",
            )


async def _wait_without_end(connection: Connection) -> None:
    """What is copied here may take long, and holds up nobody."""
    if not is_sqlite(connection):
        for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
            await connection.execute(text(f"SET LOCAL {limit} = 0"))


async def _copy_rows(source: Connection, target: Connection, tell: Tell) -> None:
    for table in reversed(metadata.sorted_tables):
        await target.execute(delete(table))
    for table in metadata.sorted_tables:
        if table in _OWN:
            continue
        tell(f"rows of {table.name}")
        copied, arrived = _Tally(), _Tally()
        async for rows in _stream(source, select(table)):
            clean = [{name: _clean(value) for name, value in row.items()} for row in rows]
            copied.add(clean)
            await target.execute(insert(table), clean)
        async for rows in _stream(target, select(table)):
            arrived.add(rows)
        if copied != arrived:
            raise DamagedError("not all rows have arrived as they were", where=f"table {table.name}")
    for table in metadata.sorted_tables:
        if table not in _OWN:
            await _copy_counter(source, target, table)


@dataclass(slots=True)
class _Tally:
    """What a table holds, in whatever order it is read."""

    rows: int = 0
    digest: int = 0

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Count rows in."""
        for row in rows:
            one = hashlib.sha256(repr(tuple(row.values())).encode()).digest()
            self.digest = (self.digest + int.from_bytes(one)) % (1 << 256)
        self.rows += len(rows)


def _clean(value: object) -> object:
    return without_nul(value) if type(value) is str else value  # a state stays one


async def _stream(connection: Connection, query: Select[Any]) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
    """The rows of a query, a few of them in memory."""
    async with connection.stream(query.execution_options(yield_per=_ROWS_AT_ONCE)) as rows:
        async for some in rows.mappings().partitions():
            yield some


async def _copy_counter(source: Connection, target: Connection, table: Table) -> None:
    """A number that a row once had is never given to another."""
    column = table.autoincrement_column
    if column is None or not table.dialect_options["sqlite"]["autoincrement"]:
        return
    last = max(await _read_counter(source, table), await _read_counter(target, table))
    if last == 0:
        return
    if is_sqlite(target):
        values = {"name": table.name, "seq": last}
        await target.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), values)
        await target.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :seq)"), values)
    else:
        await target.execute(select(func.setval(_sequence_of(table), last)))


async def _read_counter(connection: Connection, table: Table) -> int:
    if is_sqlite(connection):
        query = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
        return (await connection.execute(query, {"name": table.name})).scalar_one_or_none() or 0
    query = text("SELECT pg_sequence_last_value(pg_get_serial_sequence(:name, 'id')::regclass)")
    last = (await connection.execute(query, {"name": table.name})).scalar_one() or 0
    top = (await connection.execute(select(func.max(table.c.id)))).scalar_one() or 0
    return max(int(last), int(top))


def _sequence_of(table: Table) -> Any:
    return func.pg_get_serial_sequence(table.name, "id")


async def _export_journals(source: Connection, folder: Path, tell: Tell) -> None:
    chunk = chunks.c
    query = select(chunk.job, chunk.lease, chunk.data).order_by(chunk.job, chunk.lease, chunk.offset)
    async for some in _stream(source, query):
        for row in some:
            tell(f"journal of {row['job']}")
            with (folder / f"{row['job']}-{row['lease']}").open("ab") as out:
                out.write(row["data"])


async def _import_journals(folder: Path, target: Connection, tell: Tell) -> None:
    for file in sorted(folder.iterdir()):  # noqa: ASYNC240 - nobody else is served here
        job, _, lease = file.name.rpartition("-")
        tell(f"journal of {job}")
        with file.open("rb") as opened:
            offset = await journal_chunks.lock_journal(target, job, int(lease))
            while data := opened.read(_CHUNK_BYTES):
                await journal_chunks.add_chunk(target, job, int(lease), offset, data)
                offset += len(data)
