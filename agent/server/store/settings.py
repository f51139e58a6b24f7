"""Secrets (encrypted before they come here) and variables, by level and name."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Table, and_, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import secrets, variables
from agent.server.store.upsert import insert

_LEVEL = ("project", "environment", "name")


@dataclass(frozen=True, slots=True)
class Level:
    """Where a secret or variable is set: for all projects (`project` 0), a project, or one of its environments."""

    project: int = 0
    environment: str = ""

    @property
    def name(self) -> str:
        """The kind of level, for people."""
        return "organisation" if not self.project else "environment" if self.environment else "project"


@dataclass(frozen=True, slots=True)
class SecretRow:
    """A secret. `refs` are patterns of the git refs whose runs get it; none: all do."""

    level: Level
    name: str
    sealed: bytes
    refs: tuple[str, ...]
    updated_at: float

    @property
    def key(self) -> tuple[int, str, str]:
        """What tells it apart: where it is set, and its name."""
        return self.level.project, self.level.environment, self.name


@dataclass(frozen=True, slots=True)
class VariableRow:
    """A variable."""

    level: Level
    name: str
    value: str
    updated_at: float

    @property
    def key(self) -> tuple[int, str, str]:
        """What tells it apart: where it is set, and its name."""
        return self.level.project, self.level.environment, self.name


async def put_secret(
    connection: AsyncConnection, level: Level, name: str, *, sealed: bytes, refs: Sequence[str], now: float
) -> None:
    """Store or replace a secret in its encrypted form."""
    values = {"sealed": sealed, "refs": json.dumps(list(refs)), "updated_at": now}
    statement = insert(connection, secrets).values(**_key(level, name), **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=_LEVEL, set_=values))


async def list_secrets(connection: AsyncConnection, project: int) -> list[SecretRow]:
    """The secrets that jobs of `project` may get, of all levels: the organisation's, its own, its environments'."""
    query = select(secrets).where(_is_seen(secrets, project)).order_by(*(secrets.c[name] for name in _LEVEL))
    return [
        SecretRow(
            Level(row.project, row.environment),
            row.name,
            row.sealed,
            tuple(json.loads(row.refs)),
            row.updated_at,
        )
        for row in await connection.execute(query)
    ]


async def remove_secret(connection: AsyncConnection, level: Level, name: str) -> bool:
    """Forget a secret; False when there is none such."""
    return (await connection.execute(delete(secrets).where(_is(secrets, level, name)))).rowcount == 1


async def count_secrets(connection: AsyncConnection, level: Level, *, but: str) -> int:
    """How many secrets the level has, without `but`."""
    return await _count(connection, secrets, level, but)


async def put_variable(connection: AsyncConnection, level: Level, name: str, value: str, now: float) -> None:
    """Store or replace a variable."""
    values = {"value": value, "updated_at": now}
    statement = insert(connection, variables).values(**_key(level, name), **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=_LEVEL, set_=values))


async def list_variables(connection: AsyncConnection, project: int) -> list[VariableRow]:
    """The variables that flows of `project` may read, of all levels."""
    query = select(variables).where(_is_seen(variables, project))
    query = query.order_by(*(variables.c[name] for name in _LEVEL))
    return [
        VariableRow(Level(row.project, row.environment), row.name, row.value, row.updated_at)
        for row in await connection.execute(query)
    ]


async def remove_variable(connection: AsyncConnection, level: Level, name: str) -> bool:
    """Forget a variable; False when there is none such."""
    return (await connection.execute(delete(variables).where(_is(variables, level, name)))).rowcount == 1


async def count_variables(connection: AsyncConnection, level: Level, *, but: str) -> int:
    """How many variables the level has, without `but`."""
    return await _count(connection, variables, level, but)


def _key(level: Level, name: str) -> dict[str, object]:
    return {"project": level.project, "environment": level.environment, "name": name}


def _is(table: Table, level: Level, name: str) -> ColumnElement[bool]:
    return and_(*(table.c[column] == value for column, value in _key(level, name).items()))


def _is_seen(table: Table, project: int) -> ColumnElement[bool]:
    return or_(table.c.project == 0, table.c.project == project)


async def _count(connection: AsyncConnection, table: Table, level: Level, but: str) -> int:
    query = select(func.count()).where(
        table.c.project == level.project, table.c.environment == level.environment, table.c.name != but
    )
    return int((await connection.execute(query)).scalar_one())
