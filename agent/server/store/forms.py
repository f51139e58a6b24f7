"""Forms of steps that wait for people, and their answers.

    asked --somebody answers--> answered --the agent tells that the step has ended--> ended
    asked --the step is ended otherwise--> ended

One that is asked or answered counts for as long as its job runs under the lease that it was asked under.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Select, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent import codec
from agent.journal.format import FormAsked
from agent.server.store.hot import Hot
from agent.server.store.schema import forms, jobs
from agent.server.store.text import without_nul
from agent.server.store.upsert import Insert, insert
from agent.spec.status import JobStatus, RoomStatus


@dataclass(frozen=True, slots=True)
class FormRow:
    """A form; `form` and `values` are JSON text."""

    job: str
    lease: int
    step: int
    title: str
    form: str
    asked_at: float
    values: str | None
    answered_by: str | None
    answered_at: float | None
    gave_back: bool  # its job has given its room back, and has had it again before it hears the answer
    gpus: str  # JSON: those that are the job's now


@dataclass(frozen=True, slots=True)
class AskedRow:
    """A form with the job that waits."""

    form: FormRow
    run: int
    key: str


_MOST_GIVEN = 200
_COLUMNS = [jobs.c.gpus if name == "gpus" else forms.c[name] for name in FormRow.__slots__]
_OF_RUNNING = (
    select(*_COLUMNS, jobs.c.run, jobs.c.key)
    .join(jobs, (jobs.c.id == forms.c.job) & (jobs.c.lease == forms.c.lease))
    .where(jobs.c.status == JobStatus.RUNNING, forms.c.ended_at.is_(None))
    .order_by(forms.c.asked_at, forms.c.job, forms.c.step)
)


def _make_add(connection: AsyncConnection) -> Insert:
    return insert(connection, forms).on_conflict_do_nothing()


_ADD = Hot(_make_add)
_END = Hot(
    update(forms)
    .where(
        forms.c.job == bindparam("of_job"),
        forms.c.lease == bindparam("under"),
        forms.c.step == bindparam("of_step"),
        forms.c.ended_at.is_(None),
    )
    .values(ended_at=bindparam("now"))
)


async def add_form(
    connection: AsyncConnection, job: str, lease: int, asked: FormAsked, *, gave_back: bool
) -> None:
    """A step asks, and its job has given its room back or not. Adding it twice changes nothing."""
    await _ADD.count(
        connection,
        job=job,
        lease=lease,
        step=asked.step,
        title=without_nul(asked.title),
        form=without_nul(codec.dump(asked.form)),
        asked_at=asked.time_ms / 1000,
        gave_back=int(gave_back),
        values=None,
        answered_by=None,
        answered_at=None,
        ended_at=None,
    )


async def end_form(connection: AsyncConnection, job: str, lease: int, step: int, now: float) -> bool:
    """The step has ended; whether it had a form that had not."""
    return await _END.count(connection, of_job=job, under=lease, of_step=step, now=now) > 0


async def put_answer(connection: AsyncConnection, row: FormRow, values: str, by: str, now: float) -> bool:
    """Answer a form; False when it was answered meanwhile."""
    wanted = (forms.c.job == row.job) & (forms.c.lease == row.lease) & (forms.c.step == row.step)
    done = await connection.execute(
        update(forms)
        .where(wanted, forms.c.answered_at.is_(None))
        .values(values=values, answered_by=by, answered_at=now)
    )
    return done.rowcount > 0


async def list_of_job(connection: AsyncConnection, job: str) -> list[FormRow]:
    """The forms that a running job's steps wait for, answered or not, in the order in which they were asked."""
    return [asked.form for asked in await _list(connection, _OF_RUNNING.where(forms.c.job == job))]


async def list_open(connection: AsyncConnection, project: int, run: int | None) -> list[AskedRow]:
    """The forms of the project, or of one run of it, that nobody has answered."""
    query = _OF_RUNNING.where(jobs.c.project == project, forms.c.answered_at.is_(None))
    return await _list(connection, query if run is None else query.where(jobs.c.run == run))


async def list_given(
    connection: AsyncConnection, *, project: int | None = None, run: int | None = None, job: str = ""
) -> list[AskedRow]:
    """The answers that somebody has given in a run or to a job, oldest first, whatever became of the steps since; the newest of many."""
    query = (
        select(*_COLUMNS, jobs.c.run, jobs.c.key)
        .join(jobs, (jobs.c.id == forms.c.job) & (jobs.c.lease == forms.c.lease))
        .where(forms.c.answered_at.is_not(None))
        .order_by(forms.c.answered_at.desc(), forms.c.job, forms.c.step.desc())
        .limit(_MOST_GIVEN)
    )
    query = query.where(forms.c.job == job) if job else query
    query = query if run is None else query.where(jobs.c.run == run, jobs.c.project == project)
    return (await _list(connection, query))[::-1]


async def find_answerer(connection: AsyncConnection, job: str, lease: int) -> str | None:
    """Who has given the last answer that a job under that lease was given."""
    query = select(forms.c.answered_by).where(
        forms.c.job == job, forms.c.lease == lease, forms.c.answered_at.is_not(None)
    )
    found: str | None = (
        await connection.execute(query.order_by(forms.c.answered_at.desc()).limit(1))
    ).scalar_one_or_none()
    return found


async def list_answered(connection: AsyncConnection, of_jobs: Collection[str]) -> list[FormRow]:
    """The forms of these jobs whose answers their steps have not gone on with, as far as is known here, and may: they have room."""
    if not of_jobs:
        return []
    query = _OF_RUNNING.where(
        forms.c.job.in_(of_jobs), forms.c.answered_at.is_not(None), jobs.c.room == RoomStatus.HELD
    )
    return [asked.form for asked in await _list(connection, query)]


async def _list(connection: AsyncConnection, query: Select[tuple[object, ...]]) -> list[AskedRow]:
    found = (await connection.execute(query)).mappings()
    return [
        AskedRow(FormRow(**{name: row[name] for name in FormRow.__slots__}), row["run"], row["key"])
        for row in found
    ]


def values_of(row: FormRow) -> dict[str, object]:
    """The answer; nothing while there is none."""
    read: dict[str, object] = json.loads(row.values or "{}")
    return read


def gpus_of(row: FormRow) -> tuple[str, ...] | None:
    """The GPUs with which the job goes on, where it has given its room back; else None."""
    return tuple(json.loads(row.gpus)) if row.gave_back else None
