"""Connected repositories."""

from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import flow_events, flows, repositories, schedules, status_reports, webhooks


@dataclass(frozen=True, slots=True)
class RepositoryRow:
    """A repository; `credentials` and `secret` are encrypted."""

    id: str
    project: int
    name: str
    provider: str
    url: str
    api_url: str
    default_branch: str
    folders: str
    forks: str
    reports_status: bool
    credentials: bytes | None
    secret: bytes | None
    head: str
    problem: str
    synced_at: float | None
    created_at: float


async def add_repository(connection: AsyncConnection, row: RepositoryRow) -> None:
    """Store a repository."""
    values = {name: getattr(row, name) for name in RepositoryRow.__slots__}
    await connection.execute(insert(repositories).values(**values))


async def find_repository(connection: AsyncConnection, repository: str) -> RepositoryRow | None:
    """The repository with this id."""
    query = select(repositories).where(repositories.c.id == repository)
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else RepositoryRow(**row)


async def project_of(connection: AsyncConnection, repository: str) -> int | None:
    """The project that the repository belongs to."""
    query = select(repositories.c.project).where(repositories.c.id == repository)
    return (await connection.execute(query)).scalar_one_or_none()


async def find_by_name(connection: AsyncConnection, project: int, name: str) -> RepositoryRow | None:
    """The project's repository with this name."""
    query = select(repositories).where(repositories.c.project == project, repositories.c.name == name)
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else RepositoryRow(**row)


async def list_projects_of(connection: AsyncConnection, name: str) -> list[int]:
    """The projects that a repository of that name is connected to, in their order."""
    query = (
        select(repositories.c.project)
        .where(repositories.c.name == name)
        .distinct()
        .order_by(repositories.c.project)
    )
    return [int(row.project) for row in await connection.execute(query)]


async def list_repositories(connection: AsyncConnection, project: int | None = None) -> list[RepositoryRow]:
    """All repositories, or a project's, by name."""
    query = select(repositories).order_by(repositories.c.name, repositories.c.id)
    if project is not None:
        query = query.where(repositories.c.project == project)
    return [RepositoryRow(**row) for row in (await connection.execute(query)).mappings()]


async def change_repository(connection: AsyncConnection, repository: str, **values: object) -> bool:
    """Set columns; False when there is no such repository."""
    statement = update(repositories).where(repositories.c.id == repository).values(**values)
    return (await connection.execute(statement)).rowcount == 1


async def remove_repository(connection: AsyncConnection, repository: str) -> bool:
    """Forget a repository with its flows, their times and webhooks, and what was still to be reported to it."""
    mine = select(flows.c.id).where(flows.c.repository == repository)
    for table in (flow_events, schedules, webhooks):
        await connection.execute(delete(table).where(table.c.flow.in_(mine)))
    await connection.execute(delete(flows).where(flows.c.repository == repository))
    await connection.execute(delete(status_reports).where(status_reports.c.repository == repository))
    statement = delete(repositories).where(repositories.c.id == repository)
    return (await connection.execute(statement)).rowcount == 1
