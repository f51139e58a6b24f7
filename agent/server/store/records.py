"""Records of journals beside output: steps, annotations, summaries. Writing one twice changes nothing."""

import json
from dataclasses import dataclass

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent import codec
from agent.journal.format import Annotation, StepChanged, Summary
from agent.server.store.hot import Hot
from agent.server.store.schema import annotations, jobs, runs, steps, summaries
from agent.server.store.text import without_nul
from agent.server.store.upsert import Insert, insert


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step as its journal left it last."""

    step: int
    id: str
    name: str
    parent: int | None
    state: str
    outcome: str | None
    conclusion: str | None
    seconds: float | None
    started_at: float | None
    outputs: str
    used: str | None = None


def _make_put_step(connection: AsyncConnection) -> Insert:
    statement = insert(connection, steps)
    key = ("job", "lease", "step")
    newest = {
        name: statement.excluded[name] for name in StepRow.__slots__ if name not in ("step", "started_at")
    }
    return statement.on_conflict_do_update(index_elements=key, set_=newest)


def _make_first_step() -> Select[tuple[float]]:
    others = jobs.alias()
    is_second = (
        select(steps.c.job)
        .join(others, others.c.id == steps.c.job)
        .where(others.c.run == jobs.c.run, others.c.id != jobs.c.id)
        .exists()
    )
    query = select(runs.c.created_at).join(jobs, jobs.c.run == runs.c.id)
    return query.where(jobs.c.id == bindparam("of_job"), ~is_second)


_PUT_STEP = Hot(_make_put_step)
_SUMMARIES_OF_RUN = Hot(
    select(summaries.c.job, summaries.c.text)
    .join(jobs, (jobs.c.id == summaries.c.job) & (jobs.c.lease == summaries.c.lease))
    .where(jobs.c.run == bindparam("of_run"))
    .order_by(summaries.c.job, summaries.c.offset)
)
_FIRST_STEP = Hot(_make_first_step())


async def put_step(connection: AsyncConnection, job: str, lease: int, record: StepChanged) -> None:
    """The newest word about a step."""
    values = {
        "id": without_nul(record.id),
        "name": without_nul(record.name),
        "parent": record.parent,
        "state": record.state,
        "outcome": record.outcome,
        "conclusion": record.conclusion,
        "seconds": record.seconds,
        "outputs": json.dumps(record.outputs),
        "used": None if record.used is None else json.dumps(record.used),
    }
    key = {"job": job, "lease": lease, "step": record.step, "started_at": record.time_ms / 1000}
    await _PUT_STEP.count(connection, **key, **values)


async def put_annotation(
    connection: AsyncConnection, job: str, lease: int, offset: int, record: Annotation
) -> bool:
    """A notice, warning or error; `offset` is where its record ends in the journal. False when it was here already."""
    statement = insert(connection, annotations).values(
        job=job, lease=lease, offset=offset, record=codec.dump(record)
    )
    return (await connection.execute(statement.on_conflict_do_nothing())).rowcount == 1


async def measure(connection: AsyncConnection, job: str, lease: int) -> tuple[int, int]:
    """How many annotations are here, and how many characters of summaries."""
    of_job = (annotations.c.job == job) & (annotations.c.lease == lease)
    count = select(func.count()).select_from(annotations).where(of_job)
    length = select(func.coalesce(func.sum(func.length(summaries.c.text)), 0))
    length = length.where(summaries.c.job == job, summaries.c.lease == lease)
    return (
        int((await connection.execute(count)).scalar_one()),
        int((await connection.execute(length)).scalar_one()),
    )


async def put_summary(
    connection: AsyncConnection, job: str, lease: int, offset: int, record: Summary
) -> None:
    """A piece of a step's summary."""
    statement = insert(connection, summaries).values(
        job=job, lease=lease, offset=offset, step=record.step, text=without_nul(record.text)
    )
    await connection.execute(statement.on_conflict_do_nothing())


async def list_steps(connection: AsyncConnection, job: str, lease: int) -> list[StepRow]:
    """The steps in the order in which they began."""
    columns = [steps.c[name] for name in StepRow.__slots__]
    query = select(*columns).where(steps.c.job == job, steps.c.lease == lease).order_by(steps.c.step)
    return [StepRow(**row) for row in (await connection.execute(query)).mappings()]


async def list_annotations(connection: AsyncConnection, job: str, lease: int) -> list[object]:
    """The annotations as JSON data, in the journal's order."""
    query = select(annotations.c.record).where(annotations.c.job == job, annotations.c.lease == lease)
    return [
        json.loads(text)
        for text in (await connection.execute(query.order_by(annotations.c.offset))).scalars()
    ]


async def list_summaries(connection: AsyncConnection, job: str, lease: int) -> list[str]:
    """The Markdown of the job's summary, a text a record."""
    query = select(summaries.c.text).where(summaries.c.job == job, summaries.c.lease == lease)
    return list((await connection.execute(query.order_by(summaries.c.offset))).scalars())


async def list_summaries_of_run(connection: AsyncConnection, run: int) -> dict[str, list[str]]:
    """As `list_summaries`, of all jobs of the run under their last lease, by job; without those that wrote none."""
    found: dict[str, list[str]] = {}
    for job, text in await _SUMMARIES_OF_RUN.rows(connection, of_run=run):
        found.setdefault(job, []).append(text)
    return found


async def find_first_step_of_run(connection: AsyncConnection, job: str) -> float | None:
    """When the job's run was submitted; None when another of its jobs had a step already."""
    row = await _FIRST_STEP.row(connection, of_job=job)
    return None if row is None else float(row[0])
