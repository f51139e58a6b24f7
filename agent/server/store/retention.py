"""Retention: what is too old or left over, found here, and forgotten row by row. Blobs are the caller's business."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, delete, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store import packs
from agent.server.store import schema as tables
from agent.server.store.archives import ArchiveRow
from agent.server.store.artifacts import CHECKPOINT_MARK, ArtifactRow
from agent.server.store.caches import CacheRow
from agent.server.store.datasets import TAGGED, VersionRow
from agent.server.store.schema import (
    archives,
    artifacts,
    caches,
    dataset_blobs,
    dataset_reads,
    dataset_versions,
    datasets,
    deliveries,
    idempotency_keys,
    jobs,
    metadata,
    origins,
    record_segments,
    repositories,
    runs,
    snapshots,
    status_reports,
    tags,
)
from agent.server.store.states import ARCHIVES, DELIVERIES, ArchiveState, DeliveryStatus, UploadStatus
from agent.server.store.transitions import may_become
from agent.spec.status import ACTIVE, RunStatus

_RUNNING = select(jobs.c.id).where(jobs.c.status.in_(ACTIVE))
_VOLUME = '"kind": "volume"'  # as `agent.server.data.artifacts.note_kept` writes it
VOLUME_SECONDS = 7 * 86_400.0  # after their run: some of its jobs may be run again
SIGNED_ALONE = ("github", "gitea")  # without a time: what is not remembered could be sent again for ever


@dataclass(frozen=True, slots=True)
class OldDelivery:
    """A delivery that goes; `is_memory`: that it was here has to be remembered."""

    id: int
    provider: str
    event: str
    size_bytes: int
    is_memory: bool


async def find_artifacts(
    connection: AsyncConnection, project: int, now: float, kept_since: float | None
) -> list[ArtifactRow]:
    """The project's artifacts that are over: by their own word, or made before `kept_since`; and uploads of ended jobs.

    A tag, on an artifact or on its run, keeps it; but for volumes and checkpoints, which are over some days after their run.
    """
    is_over = artifacts.c.expires_at <= now
    if kept_since is not None:
        is_over |= artifacts.c.created_at < kept_since
    is_over &= ~_has_tag("artifact", artifacts.c.id) & ~_has_tag("run", artifacts.c.run)
    goes_with_run = artifacts.c.kept.contains(_VOLUME) | artifacts.c.kept.contains(CHECKPOINT_MARK)
    is_over |= goes_with_run & (runs.c.finished_at < now - VOLUME_SECONDS)
    is_broken_off = (artifacts.c.status != UploadStatus.FINAL) & artifacts.c.job.not_in(_RUNNING)
    query = select(artifacts).join(runs, runs.c.id == artifacts.c.run)
    is_gone = ((runs.c.status == RunStatus.COMPLETED) & is_over) | is_broken_off
    query = query.where(runs.c.project == project, is_gone)
    return [ArtifactRow(**row) for row in (await connection.execute(query)).mappings()]


def _has_tag(kind: str, thing: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether the thing has any tag."""
    return exists().where(tags.c.kind == kind, tags.c.thing == thing)


async def forget_artifacts(connection: AsyncConnection, ids: Sequence[int]) -> None:
    """Remove artifacts with their tags; what they alone have counted on is swept in its time."""
    await packs.drop_claims(connection, ids)
    await connection.execute(delete(tags).where(tags.c.kind == "artifact", tags.c.thing.in_(ids)))
    await connection.execute(delete(artifacts).where(artifacts.c.id.in_(ids)))


async def find_caches(
    connection: AsyncConnection, project: int, unused_since: float | None
) -> list[CacheRow]:
    """The project's caches that nobody has used since then (None: these stay); and uploads of ended jobs."""
    is_gone = (caches.c.status != UploadStatus.FINAL) & caches.c.job.not_in(_RUNNING)
    if unused_since is not None:
        is_gone |= caches.c.used_at < unused_since
    query = select(caches).where(caches.c.project == project, is_gone)
    return [CacheRow(**row) for row in (await connection.execute(query)).mappings()]


async def find_versions(
    connection: AsyncConnection,
    project: int,
    *,
    drafts_before: float,
    unused_since: float | None,
    version: int | None = None,
) -> list[tuple[str, VersionRow]]:
    """Drafts that were begun before then, and versions that nobody has used since then: dataset's name, row.

    The newest version of a dataset stays, and so does one that has a tag. With `version`: only that one.
    """
    other = dataset_versions.alias()
    newer = select(other.c.id).where(
        other.c.dataset == dataset_versions.c.dataset, other.c.number > dataset_versions.c.number
    )
    tagged = select(tags.c.tag).where(tags.c.kind == TAGGED, tags.c.thing == dataset_versions.c.id)
    goes = dataset_versions.c.number.is_(None) & (dataset_versions.c.created_at < drafts_before)
    if unused_since is not None:
        read = select(dataset_reads.c.run).where(
            dataset_reads.c.version == dataset_versions.c.id, dataset_reads.c.read_at >= unused_since
        )
        is_old = dataset_versions.c.committed_at < unused_since
        goes |= is_old & newer.exists() & ~tagged.exists() & ~read.exists()
    query = select(datasets.c.name, dataset_versions).join(
        datasets, datasets.c.id == dataset_versions.c.dataset
    )
    query = query.where(datasets.c.project == project, goes)
    if version is not None:
        query = query.where(dataset_versions.c.id == version)
    found = (await connection.execute(query.order_by(dataset_versions.c.id))).mappings()
    names = VersionRow.__slots__
    return [(row["name"], VersionRow(**{name: row[name] for name in names})) for row in found]


async def find_logs(connection: AsyncConnection, project: int, ended_before: float) -> list[ArchiveRow]:
    """The archived logs of runs of the project that ended before then."""
    query = (
        select(archives)
        .join(jobs, jobs.c.id == archives.c.job)
        .join(runs, runs.c.id == jobs.c.run)
        .where(
            runs.c.project == project,
            runs.c.finished_at < ended_before,
            may_become(archives.c.state, ARCHIVES, ArchiveState.GONE),
        )
    )
    return [ArchiveRow(**row) for row in (await connection.execute(query)).mappings()]


async def find_runs(connection: AsyncConnection, project: int, ended_before: float) -> list[int]:
    """The project's runs that ended before then, have no tag, nor an artifact with one, and whose logs are not being worked on."""
    busy = (
        select(jobs.c.run).join(archives, archives.c.job == jobs.c.id).where(archives.c.due_at.is_not(None))
    )
    query = select(runs.c.id).where(
        runs.c.project == project,
        runs.c.status == RunStatus.COMPLETED,
        runs.c.finished_at < ended_before,
        runs.c.id.not_in(busy),
        ~_has_tag("run", runs.c.id),
        runs.c.id.not_in(select(artifacts.c.run).where(_has_tag("artifact", artifacts.c.id))),
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
    await packs.drop_claims(connection, of_run)
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
    own_keys = select("job/" + jobs.c.id).where(jobs.c.run == run)
    await connection.execute(delete(idempotency_keys).where(idempotency_keys.c.owner.in_(own_keys)))
    await connection.execute(delete(status_reports).where(status_reports.c.run == run))
    await connection.execute(delete(jobs).where(jobs.c.run == run))
    await connection.execute(delete(runs).where(runs.c.id == run))


async def find_deliveries(
    connection: AsyncConnection, project: int, received_before: float
) -> list[OldDelivery]:
    """The project's deliveries that arrived before then, with which nothing is to be done any more, and whose runs ended.

    Those that are remembered only against being sent again are among them when nobody can send them any more.
    """
    working = (
        select(origins.c.delivery)
        .join(runs, runs.c.id == origins.c.run)
        .where(origins.c.delivery.is_not(None), runs.c.status != RunStatus.COMPLETED)
    )
    is_sendable = select(repositories.c.id).where(repositories.c.id == deliveries.c.scope).exists()
    is_memory = (deliveries.c.provider.in_(SIGNED_ALONE)) & is_sendable
    query = select(
        deliveries.c.id,
        deliveries.c.provider,
        deliveries.c.event,
        func.length(deliveries.c.payload).label("size_bytes"),
        is_memory.label("is_memory"),
    ).where(
        deliveries.c.project == project,
        deliveries.c.received_at < received_before,
        deliveries.c.due_at.is_(None),
        deliveries.c.id.not_in(working),
        (deliveries.c.status != DeliveryStatus.GONE) | ~is_memory,
    )
    rows = (await connection.execute(query.order_by(deliveries.c.id))).mappings()
    return [OldDelivery(**row) for row in rows]


async def forget_delivery(connection: AsyncConnection, row: OldDelivery) -> None:
    """Remove a delivery; of one that could be sent again, what tells so is kept. One that is worked on again stays."""
    is_idle = deliveries.c.status != DeliveryStatus.WAITING
    if not row.is_memory:
        await connection.execute(delete(deliveries).where(deliveries.c.id == row.id, is_idle))
        return
    is_old = may_become(deliveries.c.status, DELIVERIES, DeliveryStatus.GONE)
    empty = {"payload": "", "results": "[]", "outcome": "", "action": "", "subject": ""}
    statement = update(deliveries).where(deliveries.c.id == row.id, is_old)
    await connection.execute(statement.values(status=DeliveryStatus.GONE, **empty))


async def find_logs_over(connection: AsyncConnection, project: int, most_bytes: int) -> list[ArchiveRow]:
    """The oldest archived logs of the project's ended runs, so many that the others have `most_bytes` at most."""
    newest_first = (runs.c.finished_at.desc(), archives.c.job, archives.c.lease)
    so_far = func.sum(archives.c.size_bytes).over(order_by=newest_first).label("so_far")
    query = (
        select(archives, so_far)
        .join(jobs, jobs.c.id == archives.c.job)
        .join(runs, runs.c.id == jobs.c.run)
        .where(
            runs.c.project == project,
            runs.c.status == RunStatus.COMPLETED,
            archives.c.state == ArchiveState.DONE,
        )
        .subquery()
    )
    columns = [query.c[column.name] for column in archives.columns]
    found = await connection.execute(select(*columns).where(query.c.so_far > most_bytes))
    return [ArchiveRow(**row) for row in found.mappings()]


async def is_named(connection: AsyncConnection, key: str) -> bool:
    """Whether a row names the blob `key`, or an upload that it is a part of goes on."""
    shelf, _, rest = key.partition("/")
    if shelf == "parts":
        shelf, _, rest = rest.partition("/")
        table = {"artifacts": artifacts, "caches": caches}.get(shelf)
        number = rest.partition("/")[0]
        if table is None or not number.isdigit():
            return False
        query = select(func.count()).where(table.c.id == int(number), table.c.status != UploadStatus.FINAL)
    else:
        shelves = (artifacts, caches, snapshots, tables.packs)
        owners = {table.name: table for table in shelves}
        owners |= {"datasets": dataset_blobs, "logs": archives, "records": record_segments}
        owner = owners.get(shelf)
        if owner is None:
            return True  # not ours to judge
        query = select(func.count()).where(owner.c.blob == key)
    return bool((await connection.execute(query)).scalar_one())
