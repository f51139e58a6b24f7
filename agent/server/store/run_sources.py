"""Rows that say which data a run may be brought: other projects, tags, jobs that have succeeded."""

from collections.abc import AsyncIterator, Collection

from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import jobs, origins, run_projects, runs, tags
from agent.server.store.tags import TagRow
from agent.server.store.upsert import insert
from agent.spec.data import is_of_node
from agent.spec.outcome import Conclusion
from agent.spec.status import JobStatus

_RUNS_AT_ONCE = 50


async def set_projects(connection: AsyncConnection, run: int, projects: Collection[int]) -> None:
    """These other projects the run may read, and no more."""
    await connection.execute(delete(run_projects).where(run_projects.c.run == run))
    for project in sorted(projects):
        await connection.execute(insert(connection, run_projects).values(run=run, project=project))


async def may_read(connection: AsyncConnection, run: int, project: int) -> bool:
    """Whether the run may read that other project."""
    query = select(run_projects.c.run).where(run_projects.c.run == run, run_projects.c.project == project)
    return (await connection.execute(query)).first() is not None


async def find_tagged(connection: AsyncConnection, project: int, kind: str, tag: str) -> list[TagRow]:
    """What of a kind (run, artifact) has the tag, the one that it was put on last first."""
    query = (
        select(tags)
        .where(tags.c.project == project, tags.c.kind == kind, tags.c.tag == tag)
        .order_by(tags.c.created_at.desc(), tags.c.thing.desc())
    )
    return [TagRow(**row) for row in (await connection.execute(query)).mappings()]


async def has_flow(connection: AsyncConnection, project: int, flow: str) -> bool:
    """Whether the project has a run of the flow, known by file or title."""
    query = select(runs.c.id).where(runs.c.project == project, _is_flow(flow)).limit(1)
    return (await connection.execute(query)).first() is not None


async def find_last(connection: AsyncConnection, project: int, flow: str, node: str) -> int | None:
    """The newest run of the flow in which all jobs of the node have succeeded at last; none of a stranger's request counts."""
    async for run in _list_candidates(connection, project, flow, node):
        if await _has_succeeded(connection, run, node):
            return run
    return None


async def _list_candidates(
    connection: AsyncConnection, project: int, flow: str, node: str
) -> AsyncIterator[int]:
    """Runs in which some job of the node has succeeded, the newest first."""
    strangers = select(origins.c.run).where(~origins.c.is_trusted)
    query = (
        select(runs.c.id)
        .join(jobs, jobs.c.run == runs.c.id)
        .where(
            runs.c.project == project,
            _is_flow(flow),
            jobs.c.conclusion == Conclusion.SUCCESS.value,
            or_(jobs.c.key == node, jobs.c.key.startswith(f"{node} (", autoescape=True)),
            runs.c.id.not_in(strangers),
        )
        .group_by(runs.c.id)
        .order_by(runs.c.id.desc())
        .limit(_RUNS_AT_ONCE)
    )
    before: int | None = None
    while True:
        part = query if before is None else query.where(runs.c.id < before)
        found = [int(row.id) for row in await connection.execute(part)]
        for run in found:
            yield run
        if len(found) < _RUNS_AT_ONCE:
            return
        before = found[-1]


async def _has_succeeded(connection: AsyncConnection, run: int, node: str) -> bool:
    """Of each job of the node its last try counts."""
    query = (
        select(jobs.c.key, jobs.c.status, jobs.c.conclusion)
        .where(jobs.c.run == run, jobs.c.node_rank == 0)
        .order_by(jobs.c.run_attempt, jobs.c.attempt)
    )
    last = {row.key: row for row in await connection.execute(query) if is_of_node(row.key, node)}
    return all(
        row.status == JobStatus.COMPLETED and row.conclusion == Conclusion.SUCCESS.value
        for row in last.values()
    )


def _is_flow(flow: str) -> ColumnElement[bool]:
    """By its file, as it was submitted or the end of that, or by its name."""
    end = f"/{flow.removeprefix('./')}"
    return or_(runs.c.file == flow, runs.c.title == flow, runs.c.file.endswith(end, autoescape=True))
