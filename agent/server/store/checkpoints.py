"""Checkpoints of jobs: artifacts that only the next try of their job is brought."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.artifacts import CHECKPOINT_MARK, ArtifactRow
from agent.server.store.schema import artifacts, jobs, runs
from agent.server.store.states import UploadStatus

_MOST_GONE = 1000  # in one transaction


@dataclass(frozen=True, slots=True)
class EndedTry:
    """A try of a job that has ended."""

    job: str
    started_at: float | None
    finished_at: float | None


async def find_newest(connection: AsyncConnection, run: int, key: str) -> ArtifactRow | None:
    """The newest checkpoint of the job's tries in the present attempt of its run."""
    row = (await connection.execute(_of_job(run, key).limit(1))).mappings().one_or_none()
    return None if row is None else ArtifactRow(**row)


async def list_older(connection: AsyncConnection, run: int, key: str, most: int) -> list[ArtifactRow]:
    """The job's checkpoints but for the newest `most`."""
    rows = (await connection.execute(_of_job(run, key).offset(most).limit(_MOST_GONE))).mappings()
    return [ArtifactRow(**row) for row in rows]


async def note_kept(connection: AsyncConnection, job: str, now: float) -> None:
    """The job has kept a checkpoint."""
    await connection.execute(update(jobs).where(jobs.c.id == job).values(checkpointed_at=now))


async def find_try_before(connection: AsyncConnection, run: int, key: str, attempt: int) -> EndedTry | None:
    """The try of the job before this one, in the present attempt of its run."""
    query = (
        select(jobs.c.id, jobs.c.started_at, jobs.c.finished_at)
        .where(_is_job(run, key), jobs.c.attempt < attempt, jobs.c.conclusion.is_not(None))
        .order_by(jobs.c.attempt.desc())
        .limit(1)
    )
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else EndedTry(row.id, row.started_at, row.finished_at)


async def set_resumed(connection: AsyncConnection, job: str, resumed: str) -> None:
    """What the job goes on from, as JSON."""
    await connection.execute(update(jobs).where(jobs.c.id == job).values(resumed=resumed))


def _of_job(run: int, key: str) -> "Select[tuple[object, ...]]":
    return (
        select(artifacts)
        .where(
            artifacts.c.run == run,
            artifacts.c.job.in_(select(jobs.c.id).where(_is_job(run, key))),
            artifacts.c.status == UploadStatus.FINAL,
            artifacts.c.kept.contains(CHECKPOINT_MARK),
        )
        .order_by(artifacts.c.id.desc())
    )


def _is_job(run: int, key: str) -> ColumnElement[bool]:
    attempt = select(runs.c.attempt).where(runs.c.id == run).scalar_subquery()
    return and_(jobs.c.run == run, jobs.c.key == key, jobs.c.run_attempt == attempt)
