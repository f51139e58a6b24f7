"""Questions to the database beside the stream: its publication, its slot, its tables. Each question has a connection of its own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from agent.job.stages.actions.connecting.libraries import load_library
from agent.job.stages.actions.connecting.waiting import honour_cancel
from agent.job.stages.actions.postgresql.replication import ServerError

Table = tuple[str, str]  # its schema, and its name


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication that there is."""

    operations: frozenset[str]
    tables: frozenset[Table]  # partitions under their root's name, where it publishes so


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot that there is. Numbers are bytes."""

    plugin: str
    database: str
    status: str  # of its log: reserved, extended, unreserved, lost
    lag: int  # of log that is kept for it
    confirmed: str  # settled up to there, as the server remembers it


@dataclass(frozen=True, slots=True)
class System:
    """Which server it is, and how it keeps its log."""

    number: str
    database: str
    wal_level: str
    most_kept: str  # max_slot_wal_keep_size; -1: all, for ever
    lsn: str  # where its log ends


class SourceDatabase:
    """One database of a server."""

    def __init__(self, stage: str, url: str) -> None:
        self._psycopg = load_library("psycopg", stage)
        self._url = url

    async def read_system(self) -> System:
        """Raises ServerError, as all of these."""
        row = await self._one(
            "SELECT (SELECT system_identifier::text FROM pg_control_system()), current_database(), current_setting('wal_level'), "
            "current_setting('max_slot_wal_keep_size', true), "
            "(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END)::text"
        )
        return System(*row)

    async def read_publication(self, name: str) -> Publication | None:
        """None: there is none."""
        async with self._connect() as connection:
            cursor = await connection.execute(
                "SELECT pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_publication WHERE pubname = %s",
                [name],
            )
            flags = await cursor.fetchone()
            if flags is None:
                return None
            cursor = await connection.execute(
                "SELECT schemaname::text, tablename::text FROM pg_publication_tables WHERE pubname = %s",
                [name],
            )
            tables = await cursor.fetchall()
        names = ("insert", "update", "delete", "truncate")
        return Publication(
            frozenset(one for one, is_set in zip(names, flags, strict=True) if is_set), frozenset(tables)
        )

    async def find_nameless(self, tables: Sequence[Table]) -> list[str]:
        """Tables whose rows can't be told apart (of these; of none: of all): once published, an UPDATE or DELETE of them fails."""
        rows = await self._all(
            "SELECT format('%%I.%%I', n.nspname, c.relname), n.nspname::text, c.relname::text FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' "
            "AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%%' "
            "AND (c.relreplident = 'n' OR (c.relreplident = 'd' AND NOT EXISTS "
            "(SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary))) ORDER BY 1"
        )
        return [shown for shown, schema, name in rows if not tables or (schema, name) in tables]

    async def find_key(self, table: Table) -> list[str]:
        """The columns of a table's primary key; none: it has none."""
        rows = await self._all(
            "SELECT a.attname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
            "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey) "
            "WHERE i.indisprimary AND n.nspname = %s AND c.relname = %s ORDER BY array_position(i.indkey::int2[], a.attnum)",
            *table,
        )
        return [name for (name,) in rows]

    async def find_missing(self, tables: Sequence[Table]) -> list[str]:
        """Those of these tables that there are not."""
        return [
            f"{schema}.{name}"
            for schema, name in tables
            if not await self._all(
                "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE c.relkind IN ('r', 'p') AND n.nspname = %s AND c.relname = %s",
                schema,
                name,
            )
        ]

    async def make_publication(self, name: str, tables: Sequence[Table], operations: Sequence[str]) -> None:
        """Publish tables (of none: all that there are and will be); rows of partitions under their root's name."""
        await self._change_publication("CREATE PUBLICATION", name, tables)
        sql = self._psycopg.sql
        kinds = sql.Literal(", ".join(operations))
        await self._execute(
            sql.SQL("ALTER PUBLICATION {} SET (publish = {}, publish_via_partition_root = true)").format(
                sql.Identifier(name), kinds
            )
        )

    async def set_tables(self, name: str, tables: Sequence[Table]) -> None:
        """Publish these tables, and no others."""
        await self._change_publication("ALTER PUBLICATION", name, tables)

    async def read_slot(self, name: str) -> Slot | None:
        """None: there is none."""
        rows = await self._all(
            "SELECT plugin::text, database::text, coalesce(wal_status, ''), "
            "coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, "
            "restart_lsn), 0)::bigint, coalesce(confirmed_flush_lsn, '0/0')::text FROM pg_replication_slots WHERE slot_name = %s",
            name,
        )
        return Slot(*rows[0]) if rows else None

    async def make_slot(self, name: str) -> None:
        """Keep all that is committed from now on."""
        await self._execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", name)

    async def _change_publication(self, verb: str, name: str, tables: Sequence[Table]) -> None:
        sql = self._psycopg.sql
        named = sql.SQL(", ").join(sql.Identifier(*table) for table in tables)
        action = "SET" if verb.startswith("ALTER") else "FOR"
        what = sql.SQL(action + " TABLE {}").format(named) if tables else sql.SQL("FOR ALL TABLES")
        await self._execute(sql.SQL(verb + " {} {}").format(sql.Identifier(name), what))

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[Any]:
        try:
            given = self._psycopg.conninfo.conninfo_to_dict(self._url)
            connection = await self._psycopg.AsyncConnection.connect(
                **{"connect_timeout": 20, **given}, autocommit=True
            )
            async with connection:
                yield connection
            honour_cancel()
        except self._psycopg.Error as error:
            raise ServerError(str(error), error.sqlstate or "") from error

    async def _all(self, query: Any, *values: object) -> list[Any]:
        async with self._connect() as connection:
            rows: list[Any] = await (await connection.execute(query, list(values))).fetchall()
            return rows

    async def _one(self, query: str) -> Any:
        return (await self._all(query))[0]

    async def _execute(self, query: Any, *values: object) -> None:
        async with self._connect() as connection:
            await connection.execute(query, list(values))
