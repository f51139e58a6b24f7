"""Environments with what they ask for, and who let which job into them."""

import json
from dataclasses import dataclass

from sqlalchemy import RowMapping, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import approvals, environments
from agent.server.store.upsert import insert


@dataclass(frozen=True, slots=True)
class Environment:
    """What an environment asks for before a job may enter it."""

    name: str
    approvals: int = 0
    reviewers: tuple[str, ...] = ()  # names of users; empty: every maintainer of the project
    is_own_review_allowed: bool = True
    wait_minutes: float = 0.0
    branches: tuple[str, ...] = ()  # patterns of branches and tags; empty: all


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """A person's word on one job of one attempt."""

    job: str
    actor: str
    run: int
    attempt: int
    commit: str
    key: str
    environment: str
    is_approved: bool
    comment: str
    created_at: float


async def put_environment(
    connection: AsyncConnection, project: int, environment: Environment, now: float
) -> None:
    """Make an environment, or change what it asks for."""
    values = {
        "name": environment.name,
        "approvals": environment.approvals,
        "reviewers": json.dumps(environment.reviewers),
        "is_own_review_allowed": environment.is_own_review_allowed,
        "wait_minutes": environment.wait_minutes,
        "branches": json.dumps(environment.branches),
        "updated_at": now,
    }
    statement = insert(connection, environments).values(
        project=project, key=environment.name.casefold(), **values
    )
    await connection.execute(statement.on_conflict_do_update(index_elements=["project", "key"], set_=values))


async def find_environment(connection: AsyncConnection, project: int, name: str) -> Environment | None:
    """The project's environment of that name, whatever its case."""
    query = select(environments).where(
        environments.c.project == project, environments.c.key == name.casefold()
    )
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else _environment(row)


async def list_environments(connection: AsyncConnection, project: int) -> list[Environment]:
    """The project's environments by name."""
    query = select(environments).where(environments.c.project == project).order_by(environments.c.key)
    return [_environment(row) for row in (await connection.execute(query)).mappings()]


async def remove_environment(connection: AsyncConnection, project: int, name: str) -> bool:
    """Forget an environment: it asks for nothing any more; False when there is none such."""
    statement = delete(environments).where(
        environments.c.project == project, environments.c.key == name.casefold()
    )
    return (await connection.execute(statement)).rowcount == 1


async def add_approval(connection: AsyncConnection, row: ApprovalRow) -> bool:
    """Keep a person's word; False when that person has spoken on the job before."""
    values = {name: getattr(row, name) for name in ApprovalRow.__slots__}
    statement = insert(connection, approvals).values(**values).on_conflict_do_nothing()
    return (await connection.execute(statement)).rowcount == 1


async def list_approvals(connection: AsyncConnection, run: int) -> list[ApprovalRow]:
    """All that was said on jobs of a run, oldest first."""
    columns = [approvals.c[name] for name in ApprovalRow.__slots__]
    query = select(*columns).where(approvals.c.run == run).order_by(approvals.c.created_at, approvals.c.job)
    return [ApprovalRow(**row) for row in (await connection.execute(query)).mappings()]


def _environment(row: RowMapping) -> Environment:
    return Environment(
        name=row["name"],
        approvals=row["approvals"],
        reviewers=tuple(json.loads(row["reviewers"])),
        is_own_review_allowed=row["is_own_review_allowed"],
        wait_minutes=row["wait_minutes"],
        branches=tuple(json.loads(row["branches"])),
    )
