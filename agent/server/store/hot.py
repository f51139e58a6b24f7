"""Statements that every job needs several of: made and compiled once.

To make a statement with SQLAlchemy takes ten times as long as SQLite needs to run it, and to run it through SQLAlchemy
five times. On SQLite a hot statement therefore goes straight to the driver, on the connection and in the transaction of
the caller; on PostgreSQL, where the way to the server counts for more, it goes the usual way.
"""

import sqlite3
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from sqlalchemy import Boolean, Enum
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import Executable

from agent.server.store.sqlite_driver import plain_connection
from agent.server.store.upsert import is_sqlite

Make = Callable[[AsyncConnection], Executable]


class Hot:
    """A statement whose values come by name, each of a type that the driver takes as it is; without `IN`.

    What it reads is of such types too, or Boolean, or an enum of text.
    """

    def __init__(self, statement: Executable | Make) -> None:
        """A function instead of a statement makes it for the connection's store."""
        self._source = statement
        self._made: dict[str, Executable] = {}
        self._compiled: dict[tuple[str, ...], tuple[str, tuple[str, ...], dict[str, Any]]] = {}
        self._readers: tuple[tuple[int, Callable[[Any], object]], ...] = ()  # of the columns that need one

    async def rows(self, connection: AsyncConnection, **values: Any) -> list[Any]:
        """The rows that it gives, as tuples."""
        cursor = self._run(connection, values) if is_sqlite(connection) else None
        if cursor is not None:
            rows = cursor.fetchall()
            return [self._convert(row) for row in rows] if self._readers else rows
        return [tuple(row) for row in await connection.execute(self._statement(connection), values)]

    async def row(self, connection: AsyncConnection, **values: Any) -> Any:
        """The first row; None when there is none."""
        found = await self.rows(connection, **values)
        return found[0] if found else None

    async def count(self, connection: AsyncConnection, **values: Any) -> int:
        """How many rows it has changed."""
        cursor = self._run(connection, values) if is_sqlite(connection) else None
        if cursor is not None:
            return cursor.rowcount
        return (await connection.execute(self._statement(connection), values)).rowcount

    def _statement(self, connection: AsyncConnection) -> Executable:
        name = connection.dialect.name
        if name not in self._made:
            is_made = isinstance(self._source, Executable)
            self._made[name] = self._source if is_made else self._source(connection)  # type: ignore[operator,assignment]  # one or the other
        return self._made[name]

    def _run(self, connection: AsyncConnection, values: dict[str, Any]) -> sqlite3.Cursor | None:
        """None: it failed, and is to be tried the usual way, which knows the names of failures."""
        plain = plain_connection(connection)
        names = tuple(values)
        if names not in self._compiled:
            self._compiled[names] = self._compile(connection, names)
        sql, order, fixed = self._compiled[names]
        if not plain.in_transaction:
            plain.execute("BEGIN")  # a reader's: it sees one snapshot, and ends with its connection
        given = {**fixed, **values}
        try:
            return plain.execute(sql, [given[name] for name in order])
        except sqlite3.Error:
            if not plain.in_transaction:
                raise  # all of it was undone: what came now would be a transaction by itself
            return None

    def _convert(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """SQLite has no booleans, and no states."""
        values = list(row)
        for place, read in self._readers:
            values[place] = None if values[place] is None else read(values[place])
        return tuple(values)

    def _compile(
        self, connection: AsyncConnection, names: tuple[str, ...]
    ) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        statement: Any = self._statement(connection)
        columns = list(names) if statement.is_insert else None
        compiled = statement.compile(dialect=connection.dialect, column_keys=columns)
        read = statement.selected_columns if statement.is_select else getattr(statement, "_returning", ())
        readers = ((place, _find_reader(column.type)) for place, column in enumerate(read))
        self._readers = tuple((place, reader) for place, reader in readers if reader is not None)
        fixed = {name: _plain(bound.value) for name, bound in compiled.binds.items() if not bound.required}
        return str(compiled), tuple(compiled.positiontup or ()), fixed


def _find_reader(kind: Any) -> Callable[[Any], object] | None:
    """What makes a column's value of what SQLite gives for it."""
    if isinstance(kind, Boolean):
        return bool
    states = kind.enum_class if isinstance(kind, Enum) else None
    if states is None:
        return None
    known = {state.value: state for state in states}
    return lambda value: known.get(value) or states(value)  # the second says what is wrong with it


def _plain(value: Any) -> Any:
    """A state as the text that it is: the driver takes what is its own type fastest."""
    return value.value if isinstance(value, StrEnum) else value
