"""Artifacts and caches that a job is still sending: how much of them is stored already, and whether it may send more.

While a thing is `uploading`, its row's `size_bytes` counts what has been reserved for it, before it is written: blocks and
pieces. From `uploaded` on it is the size of the thing itself. What a write that failed had reserved is given back; what a crash
leaves counted goes with the upload.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, FromClause, Table, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.artifacts import size_of_all
from agent.server.store.schema import artifacts, caches, jobs, runs
from agent.server.store.states import UploadStatus
from agent.spec.status import ACTIVE

_TABLES = {"artifacts": artifacts, "caches": caches}


@dataclass(frozen=True, slots=True)
class Upload:
    """How an upload stands: `size_bytes` are reserved for it, `others_bytes` for others of the project."""

    status: UploadStatus
    project: int
    size_bytes: int
    others_bytes: int
    is_open: bool  # its job is running


async def find_upload(connection: AsyncConnection, shelf: str, number: int) -> Upload | None:
    """How the upload stands; None when its thing is gone.

    Others are, for artifacts, all of the project, and for caches those that are on their way: finished ones make room.
    """
    table = _TABLES[shelf]
    project = _project(table)
    query = select(table.c.status, table.c.size_bytes, project.label("project"), jobs.c.status.label("job"))
    query = query.select_from(_with_runs(table).outerjoin(jobs, jobs.c.id == table.c.job))
    row = (await connection.execute(query.where(table.c.id == number))).one_or_none()
    if row is None:
        return None
    if table is artifacts:
        others_bytes = await size_of_all(connection, row.project, but=number)
    else:
        others = select(func.coalesce(func.sum(table.c.size_bytes), 0)).select_from(_with_runs(table))
        others = others.where(project == row.project, table.c.id != number)
        others = others.where(table.c.status != UploadStatus.FINAL)
        others_bytes = int((await connection.execute(others)).scalar_one())
    return Upload(row.status, row.project, row.size_bytes, others_bytes, row.job in ACTIVE)


async def count_bytes(connection: AsyncConnection, shelf: str, number: int, size_bytes: int) -> bool:
    """Count so many more (below 0: fewer) bytes of an upload; False when it is none any more."""
    table = _TABLES[shelf]
    statement = update(table).where(table.c.id == number, table.c.status == UploadStatus.UPLOADING)
    values = {"size_bytes": table.c.size_bytes + size_bytes}
    return (await connection.execute(statement.values(**values))).rowcount == 1


def _with_runs(table: Table) -> FromClause:
    return table.join(runs, runs.c.id == table.c.run) if table is artifacts else table


def _project(table: Table) -> ColumnElement[int]:
    return runs.c.project if table is artifacts else table.c.project
