"""What is too old or left over: found here, and forgotten row by row. Blobs are the caller's business."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.archives import ArchiveRow
from agent.server.store.artifacts import ArtifactRow
from agent.server.store.caches import CacheRow
from agent.server.store.schema import archives, artifacts, caches, jobs, metadata, runs, snapshots, tags


async def find_artifacts(
    connection: AsyncConnection, project: int, now: float, kept_since: float | None
) -> list[ArtifactRow]:
    """The project's artifacts that are over: by their own word, or made before `kept_since`; and uploads of ended runs."""
    is_over = artifacts.c.expires_at <= now
    if kept_since is not None:
        is_over |= artifacts.c.created_at < kept_since
    is_broken_off = (artifacts.c.status != "final") & (runs.c.status == "completed")
    query = select(artifacts).join(runs, runs.c.id == artifacts.c.run)
    query = query.where(runs.c.project == project, runs.c.status == "completed", is_over | is_broken_off)
    return [ArtifactRow(**row) for row in (await connection.execute(query)).mappings()]


async def forget_artifacts(connection: AsyncConnection, ids: Sequence[int]) -> None:
    """Remove artifacts with their tags."""
    await connection.execute(delete(tags).where(tags.c.kind == "artifact", tags.c.thing.in_(ids)))
    await connection.execute(delete(artifacts).where(artifacts.c.id.in_(ids)))


async def find_caches(connection: AsyncConnection, project: int, unused_since: float) -> list[CacheRow]:
    """The project's caches that nobody has used since then; uploads that were broken off among them."""
    query = select(caches).where(caches.c.project == project, caches.c.used_at < unused_since)
    return [CacheRow(**row) for row in (await connection.execute(query)).mappings()]


async def find_logs(connection: AsyncConnection, project: int, ended_before: float) -> list[ArchiveRow]:
    """The archived logs of runs of the project that ended before then."""
    query = (
        select(archives)
        .join(jobs, jobs.c.id == archives.c.job)
        .join(runs, runs.c.id == jobs.c.run)
        .where(
            runs.c.project == project,
            runs.c.finished_at < ended_before,
            archives.c.state.in_(("done", "kept")),
        )
    )
    return [ArchiveRow(**row) for row in (await connection.execute(query)).mappings()]


async def forget_log(connection: AsyncConnection, row: ArchiveRow) -> None:
    """The log is gone; that there was one is still known."""
    statement = update(archives).where(archives.c.job == row.job, archives.c.lease == row.lease)
    await connection.execute(statement.values(state="gone", blob="", size_bytes=0))


async def find_runs(connection: AsyncConnection, project: int, ended_before: float) -> list[int]:
    """The project's runs that ended before then, and whose logs and artifacts are not being worked on."""
    busy = (
        select(jobs.c.run).join(archives, archives.c.job == jobs.c.id).where(archives.c.due_at.is_not(None))
    )
    query = select(runs.c.id).where(
        runs.c.project == project,
        runs.c.status == "completed",
        runs.c.finished_at < ended_before,
        runs.c.id.not_in(busy),
    )
    return [row.id for row in await connection.execute(query.order_by(runs.c.id))]


async def list_of_run(connection: AsyncConnection, run: int) -> tuple[list[ArtifactRow], list[ArchiveRow]]:
    """What a run has in the blob store."""
    query: Select[tuple[object, ...]] = select(artifacts).where(artifacts.c.run == run)
    owned = [ArtifactRow(**row) for row in (await connection.execute(query)).mappings()]
    query = select(archives).join(jobs, jobs.c.id == archives.c.job).where(jobs.c.run == run)
    return owned, [ArchiveRow(**row) for row in (await connection.execute(query)).mappings()]


async def forget_run(connection: AsyncConnection, run: int) -> None:
    """Remove a run, and every row of every table that belongs to it or to its jobs."""
    of_run = select(artifacts.c.id).where(artifacts.c.run == run)
    await connection.execute(delete(tags).where(tags.c.kind == "artifact", tags.c.thing.in_(of_run)))
    await connection.execute(delete(tags).where(tags.c.kind == "run", tags.c.thing == run))
    own_jobs = select(jobs.c.id).where(jobs.c.run == run)
    for table in reversed(metadata.sorted_tables):
        if table in (runs, jobs):
            continue
        for key in table.foreign_keys:
            if key.column.table is jobs:
                await connection.execute(delete(table).where(key.parent.in_(own_jobs)))
            elif key.column.table is runs:
                await connection.execute(delete(table).where(key.parent == run))
    await connection.execute(delete(jobs).where(jobs.c.run == run))
    await connection.execute(delete(runs).where(runs.c.id == run))


async def find_snapshots(connection: AsyncConnection, made_before: float) -> list[tuple[str, int]]:
    """The snapshots that were uploaded before then and that no run works on: digest, size."""
    used = select(runs.c.id).where(runs.c.source.contains(snapshots.c.digest))
    query = select(snapshots.c.digest, snapshots.c.size_bytes)
    query = query.where(snapshots.c.created_at < made_before, ~used.exists())
    return [(row.digest, row.size_bytes) for row in await connection.execute(query)]


async def forget_snapshots(connection: AsyncConnection, digests: Iterable[str]) -> None:
    """Remove snapshots."""
    await connection.execute(delete(snapshots).where(snapshots.c.digest.in_(list(digests))))


async def is_named(connection: AsyncConnection, key: str) -> bool:
    """Whether a row names the blob `key`, or an upload that it is a part of goes on."""
    shelf, _, rest = key.partition("/")
    if shelf == "parts":
        shelf, _, rest = rest.partition("/")
        table = {"artifacts": artifacts, "caches": caches}.get(shelf)
        number = rest.partition("/")[0]
        if table is None or not number.isdigit():
            return False
        query = select(func.count()).where(table.c.id == int(number), table.c.status != "final")
    elif shelf == "snapshots":
        query = select(func.count()).where(snapshots.c.digest == f"sha256:{rest}")
    else:
        owner = {"artifacts": artifacts, "caches": caches, "logs": archives}.get(shelf)
        if owner is None:
            return True  # not ours to judge
        query = select(func.count()).where(owner.c.blob == key)
    return bool((await connection.execute(query)).scalar_one())
