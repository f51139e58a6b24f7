"""Lineage: runs read versions of datasets, and make others.

    version <- the run that made it <- the versions that this run read <- ...

A run that is forgotten keeps its number here.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, Table, func, select, union_all
from sqlalchemy import literal as text_of
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import dataset_reads, dataset_versions, datasets
from agent.server.store.upsert import insert


@dataclass(frozen=True, slots=True)
class UseRow:
    """A run's job has `read` or `made` a version of a dataset, first at `time`."""

    direction: str
    dataset: str
    number: int
    version: int  # the version's id
    run: int
    job: str
    time: float


async def has_read(connection: AsyncConnection, version: int, run: int, job: str) -> bool:
    """Whether it is noted that the job has read the version."""
    query = select(func.count()).where(
        dataset_reads.c.version == version, dataset_reads.c.run == run, dataset_reads.c.job == job
    )
    return bool((await connection.execute(query)).scalar_one())


async def note_read(connection: AsyncConnection, version: int, run: int, job: str, now: float) -> None:
    """A job reads a version; once more changes nothing."""
    statement = insert(connection, dataset_reads).values(version=version, run=run, job=job, read_at=now)
    await connection.execute(statement.on_conflict_do_nothing())


async def list_of_run(connection: AsyncConnection, run: int) -> list[UseRow]:
    """What the run has read and made, in the order of time."""
    read = _reads().where(dataset_reads.c.run == run)
    made = (
        _select_uses("made", dataset_versions, dataset_versions.c.committed_at)
        .join(datasets, datasets.c.id == dataset_versions.c.dataset)
        .where(dataset_versions.c.run == run, dataset_versions.c.number.is_not(None))
    )
    both = union_all(read, made).subquery()
    query = select(both).order_by(both.c.time, both.c.version, both.c.direction, both.c.job)
    return [UseRow(**row) for row in (await connection.execute(query)).mappings()]


async def list_inputs(connection: AsyncConnection, run: int, job: str, before: float) -> list[UseRow]:
    """What the job had read until `before`, in the order of time."""
    query = _reads().where(
        dataset_reads.c.run == run, dataset_reads.c.job == job, dataset_reads.c.read_at <= before
    )
    query = query.order_by(dataset_reads.c.read_at, dataset_versions.c.id)
    return [UseRow(**row) for row in (await connection.execute(query)).mappings()]


async def list_readers(
    connection: AsyncConnection, version: int, *, before: tuple[int, str] | None, limit: int
) -> list[UseRow]:
    """The jobs that have read the version, the newest run first, behind the run and job `before`."""
    run, job = dataset_reads.c.run, dataset_reads.c.job
    query = _reads().where(dataset_reads.c.version == version).order_by(run.desc(), job).limit(limit)
    if before is not None:
        query = query.where((run < before[0]) | ((run == before[0]) & (job > before[1])))
    return [UseRow(**row) for row in (await connection.execute(query)).mappings()]


def _reads() -> "Select[tuple[object, ...]]":
    return (
        _select_uses("read", dataset_reads, dataset_reads.c.read_at)
        .select_from(dataset_reads)
        .join(dataset_versions, dataset_versions.c.id == dataset_reads.c.version)
        .join(datasets, datasets.c.id == dataset_versions.c.dataset)
    )


def _select_uses(direction: str, by: Table, time: "ColumnElement[float]") -> "Select[tuple[object, ...]]":
    """The columns of a `UseRow`; `by` says which job of which run it was."""
    return select(
        text_of(direction).label("direction"),
        datasets.c.name.label("dataset"),
        dataset_versions.c.number,
        dataset_versions.c.id.label("version"),
        by.c.run,
        by.c.job,
        time.label("time"),
    )
