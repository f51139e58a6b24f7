"""Outputs of steps, kept for equal ones: rows by scope and key. The oldest go when a project has many."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import step_results
from agent.server.store.text import without_nul
from agent.server.store.upsert import insert

MOST_OF_PROJECT = 10_000


@dataclass(frozen=True, slots=True)
class ResultRow:
    """What a step gave; `outputs` is JSON text."""

    scope: str
    key: str
    outputs: str
    run: int
    step: str


async def find_result(
    connection: AsyncConnection, project: int, scopes: Sequence[str], key: str
) -> ResultRow | None:
    """What is kept under the key, in the first of the scopes that has it."""
    columns = [step_results.c[name] for name in ResultRow.__slots__]
    query = select(*columns).where(
        step_results.c.project == project, step_results.c.key == key, step_results.c.scope.in_(scopes)
    )
    rows = {row.scope: ResultRow(*row) for row in await connection.execute(query)}
    return next((rows[scope] for scope in scopes if scope in rows), None)


async def note_use(connection: AsyncConnection, project: int, row: ResultRow, now: float) -> None:
    """The result was of use once more."""
    own = (step_results.c.project == project) & (step_results.c.scope == row.scope)
    await connection.execute(
        update(step_results).where(own, step_results.c.key == row.key).values(used_at=now)
    )


async def keep_result(connection: AsyncConnection, project: int, row: ResultRow, now: float) -> None:
    """Keep a result; one that is there stays."""
    values = {
        "scope": row.scope,
        "key": row.key,
        "outputs": without_nul(row.outputs),
        "run": row.run,
        "step": without_nul(row.step),
    }
    statement = insert(connection, step_results).values(project=project, used_at=now, **values)
    await connection.execute(statement.on_conflict_do_nothing())
    oldest = (
        select(step_results.c.used_at)
        .where(step_results.c.project == project)
        .order_by(step_results.c.used_at.desc())
        .offset(MOST_OF_PROJECT)
        .limit(1)
        .scalar_subquery()
    )
    await connection.execute(
        delete(step_results).where(step_results.c.project == project, step_results.c.used_at <= oldest)
    )


async def count_unused(connection: AsyncConnection, project: int, unused_since: float) -> int:
    """How many of the project's results nobody has used since then."""
    query = select(func.count()).select_from(step_results)
    found = await connection.execute(
        query.where(step_results.c.project == project, step_results.c.used_at < unused_since)
    )
    return found.scalar_one()


async def remove_unused(connection: AsyncConnection, project: int, unused_since: float) -> None:
    """Remove the project's results that nobody has used since then."""
    await connection.execute(
        delete(step_results).where(step_results.c.project == project, step_results.c.used_at < unused_since)
    )
