"""Runs of `agent flow run`, in the store of its services: rows that say of a job only that it runs. No planner sees them."""

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent import codec
from agent.server.store.runs import add_run, next_number
from agent.server.store.schema import jobs, runs
from agent.server.store.transitions import may_become
from agent.spec.job import JobSpec
from agent.spec.status import JOBS, JobStatus

LEASE = 1
_FILE = "local"
_PROJECT = 1


async def begin_run(connection: AsyncConnection, run: int, owner: str, now: float) -> None:
    """A run begins, under an id that it has chosen. Runs of one `owner` share their caches."""
    number = await next_number(connection, _PROJECT, _FILE)
    facts = {"file": _FILE, "title": _FILE, "text": "", "event": "", "source": "{}", "actor": owner}
    await add_run(connection, id=run, project=_PROJECT, number=number, created_at=now, **facts)


async def begin_job(connection: AsyncConnection, spec: JobSpec, now: float) -> None:
    """A job of such a run begins."""
    statement = insert(jobs).values(
        id=spec.job,
        run=spec.run,
        project=_PROJECT,
        place=0,
        key=spec.key,
        name=spec.name,
        status=JobStatus.RUNNING,
        spec=codec.dump(spec),
        lease=LEASE,
        attempt=spec.attempt,
        started_at=now,
    )
    await connection.execute(statement)


async def end_job(connection: AsyncConnection, job: str, now: float) -> None:
    """A job has ended: its token opens nothing any more."""
    statement = update(jobs).where(jobs.c.id == job, may_become(jobs.c.status, JOBS, JobStatus.COMPLETED))
    await connection.execute(statement.values(status=JobStatus.COMPLETED, finished_at=now))


async def list_runs(connection: AsyncConnection) -> list[int]:
    """Those that are there: alive, or killed."""
    return list((await connection.execute(select(runs.c.id))).scalars())
