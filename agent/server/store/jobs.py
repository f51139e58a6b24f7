"""Jobs of runs, from queued to completed: `agent.spec.status` has the table.

Every step names the states that it may leave by that table (and the lease) in its WHERE, and gives the row as it is
then. None means that somebody else was first, and the caller does nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sqlalchemy import ScalarSelect, Select, bindparam, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent import codec
from agent.server.store.apps import describe_apps
from agent.server.store.hot import Hot
from agent.server.store.schema import jobs, runs
from agent.server.store.text import without_nul
from agent.server.store.transitions import may_become
from agent.spec import checkpoints
from agent.spec.job import JobSpec
from agent.spec.outcome import JobResult
from agent.spec.request import PRIORITY_SECONDS, ResourceRequest
from agent.spec.stages import PROTOCOL, StagesWork
from agent.spec.status import ACTIVE, JOBS, ROOMS, JobStatus, RoomStatus
from agent.wire.codec import MAX_TEXT_BYTES
from agent.wire.messages import EVENT_PARTS_VERSION

_OPEN = (JobStatus.QUEUED, *ACTIVE)


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job without its specification."""

    id: str
    run: int
    project: int
    key: str
    name: str
    status: JobStatus
    conclusion: str | None
    failure_kind: str | None
    message: str
    outputs: str
    runs_on: str
    group_name: str
    waiting: str
    priority: int
    gpus: str
    gang: str | None
    node_rank: int
    nodes: int
    lease: int
    agent: str | None
    cancel_reason: str | None
    machine: str | None
    journal_applied: int
    queued_at: float | None
    assigned_at: float | None
    started_at: float | None
    finished_at: float | None
    attempt: int
    run_attempt: int
    environment: str
    environment_url: str
    apps: str
    room: RoomStatus
    interrupt_reason: str | None
    checkpointed_at: float | None
    resumed: str


_COLUMNS = [jobs.c[name] for name in JobRow.__slots__]


async def queue_job(
    connection: AsyncConnection, spec: JobSpec, now: float, ranked_at: float | None = None
) -> None:
    """Offer a job; offering one that is there already changes nothing. It has the place of one that came at `ranked_at` (None: now)."""
    if await find_job(connection, spec.job) is not None:
        return
    await connection.execute(
        insert(jobs).values(
            id=spec.job,
            run=spec.run,
            project=_project(spec.run),
            place=_next_place(spec.run),
            key=spec.key,
            name=spec.name,
            status=JobStatus.QUEUED,
            spec=codec.dump(spec.without_event()),
            runs_on=codec.dump(spec.runs_on),
            group_name=spec.group,
            priority=spec.priority,
            ranked_at=(now if ranked_at is None else ranked_at) - spec.priority * PRIORITY_SECONDS,
            interruptible=int(spec.is_interruptible),
            request=codec.dump(_request(spec)),
            nodes=spec.nodes,
            limit_seconds=_limit_seconds(spec),
            queued_at=now,
            attempt=spec.attempt,
            run_attempt=_run_attempt(spec.run),
            environment=spec.environment,
            apps=describe_apps(spec.apps),
        )
    )


def _request(spec: JobSpec) -> ResourceRequest:
    """What the scheduler has to find for it: of the machine, and of the agent."""
    least = PROTOCOL if isinstance(spec.work, StagesWork) else 0
    if spec.event_apart is not None and spec.event_apart.size_bytes > MAX_TEXT_BYTES:
        least = EVENT_PARTS_VERSION  # in an older one's message it would have no room
    if spec.checkpoints is not None or spec.is_interruptible:
        least = max(least, checkpoints.PROTOCOL)
    return replace(spec.resources, protocol=least)


def _limit_seconds(spec: JobSpec) -> float | None:
    """How long it may last at most, its end after a cancel included; None: as long as it likes."""
    if not spec.timeout_minutes:
        return None
    return 60 * (spec.timeout_minutes + spec.cancel_timeout_minutes)


def _next_place(run: int) -> ScalarSelect[int]:
    """How many jobs the run has already."""
    return select(func.count()).select_from(jobs).where(jobs.c.run == run).scalar_subquery()


def _project(run: int) -> ScalarSelect[int]:
    """A job belongs to its run's project."""
    return select(runs.c.project).where(runs.c.id == run).scalar_subquery()


def _run_attempt(run: int) -> ScalarSelect[int]:
    """A job belongs to the attempt that its run is in."""
    return select(runs.c.attempt).where(runs.c.id == run).scalar_subquery()


async def project_of(connection: AsyncConnection, job: str) -> int | None:
    """The project that the job belongs to."""
    return (await connection.execute(select(jobs.c.project).where(jobs.c.id == job))).scalar_one_or_none()


async def add_ended_job(
    connection: AsyncConnection, *, job: str, run: int, key: str, name: str, result: JobResult, now: float
) -> None:
    """A job that ended before it could be queued: skipped, cancelled, impossible. A held one becomes so too."""
    if await find_job(connection, job) is None:
        await connection.execute(
            insert(jobs).values(
                id=job,
                run=run,
                project=_project(run),
                place=_next_place(run),
                key=key,
                name=name,
                status=JobStatus.QUEUED,
                queued_at=None,
                run_attempt=_run_attempt(run),
            )
        )
    await finish_job(connection, job, result, now)


async def assign_job(
    connection: AsyncConnection, job: str, agent: str, now: float, gpus: Sequence[str] = ()
) -> JobRow | None:
    """Give a queued job to `agent`, with these of its GPUs, under its next lease; None: it is no longer queued."""
    row = await _ASSIGN.row(connection, wanted=job, to=agent, given=json.dumps(list(gpus)), at=now)
    return None if row is None else JobRow(*row)


async def start_job(connection: AsyncConnection, job: str, lease: int, now: float) -> JobRow | None:
    """The agent has taken the job; None when that was known already."""
    return await _move(connection, job, JobStatus.RUNNING, {"started_at": now, "waiting": ""}, lease=lease)


async def requeue_job(connection: AsyncConnection, job: str, lease: int) -> JobRow | None:
    """The agent never began with the job: back to the queue; None when that is no longer so."""
    return await _move(
        connection,
        job,
        JobStatus.QUEUED,
        {"agent": None, "gpus": "[]", "interrupt_reason": None},
        lease=lease,
    )


async def finish_job(connection: AsyncConnection, job: str, result: JobResult, now: float) -> JobRow | None:
    """The end, whatever state it was in; None when it had ended already (a terminal state wins)."""
    values = {
        "conclusion": result.conclusion.value,
        "failure_kind": result.failure_kind.value if result.failure_kind else None,
        "message": without_nul(result.message),
        "outputs": codec.dump(result.outputs),
        "environment_url": result.environment_url and without_nul(result.environment_url),
        "waiting": "",
        "finished_at": now,
    }
    return await _move(connection, job, JobStatus.COMPLETED, values)


async def explain_end(connection: AsyncConnection, job: str, result: JobResult) -> None:
    """What is told of a job that has ended: its run sees more in it than its own word."""
    await connection.execute(
        update(jobs)
        .where(jobs.c.id == job, jobs.c.status == JobStatus.COMPLETED)
        .values(
            conclusion=result.conclusion.value,
            failure_kind=result.failure_kind.value if result.failure_kind else None,
            message=without_nul(result.message),
        )
    )


async def request_cancel(connection: AsyncConnection, job: str, reason: str) -> None:
    """Whoever holds the job shall end it."""
    await connection.execute(
        update(jobs)
        .where(jobs.c.id == job, jobs.c.status != JobStatus.COMPLETED, jobs.c.cancel_reason.is_(None))
        .values(cancel_reason=reason)
    )


async def request_interruption(connection: AsyncConnection, job: str, reason: str) -> JobRow | None:
    """The running job shall make place for another one; None when it was told so already, or has ended."""
    statement = (
        update(jobs)
        .where(
            jobs.c.id == job,
            jobs.c.status == JobStatus.RUNNING,
            jobs.c.conclusion.is_(None),
            jobs.c.cancel_reason.is_(None),
            jobs.c.interrupt_reason.is_(None),
        )
        .values(interrupt_reason=reason)
        .returning(*_COLUMNS)
    )
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else JobRow(*row)


async def set_waiting(connection: AsyncConnection, job: str, reason: str) -> JobRow | None:
    """Why a queued job waits; None when that was said already."""
    row = await _SET_WAITING.row(connection, wanted=job, new=reason)
    return None if row is None else JobRow(*row)


async def set_held(connection: AsyncConnection, job: str, lease: int, words: str) -> JobRow | None:
    """The running job is held after a failure, as `words` say; empty: it goes on. None when that was known."""
    row = await _SET_HELD.row(connection, wanted=job, under=lease, new=words)
    return None if row is None else JobRow(*row)


async def give_room_back(connection: AsyncConnection, job: str, lease: int) -> bool:
    """What the job has of its agent is free while it waits for a person; False when that was known, or it has ended."""
    return await _ROOM_BACK.count(connection, wanted=job, under=lease, none="[]") > 0


async def want_room(connection: AsyncConnection, job: str, lease: int) -> bool:
    """The job may go on as soon as it has room again; False when it has its room."""
    return await _ROOM_WANTED.count(connection, wanted=job, under=lease) > 0


async def take_room(
    connection: AsyncConnection, job: str, lease: int, gpus: Sequence[str], words: str
) -> JobRow | None:
    """The job has room again, with these GPUs of its agent; `words` say what it waits for now. None: it wants none any more."""
    row = await _ROOM_TAKEN.row(connection, wanted=job, under=lease, given=json.dumps(list(gpus)), new=words)
    return None if row is None else JobRow(*row)


async def list_held(connection: AsyncConnection, of_runs: Sequence[int]) -> dict[int, list[str]]:
    """The keys of the jobs that are held, by run."""
    query = select(jobs.c.run, jobs.c.key).where(
        jobs.c.run.in_(of_runs), jobs.c.status == JobStatus.RUNNING, jobs.c.waiting != ""
    )
    found: dict[int, list[str]] = {}
    for row in await connection.execute(query.order_by(jobs.c.run, jobs.c.place)):
        found.setdefault(row.run, []).append(row.key)
    return found


async def set_machine(connection: AsyncConnection, job: str, lease: int, machine: str) -> None:
    """What the job runs on, as its journal says."""
    await _SET_MACHINE.count(connection, wanted=job, under=lease, new=machine)


async def set_applied(connection: AsyncConnection, job: str, lease: int, offset: int) -> None:
    """The journal's records up to `offset` are in the tables."""
    await _SET_APPLIED.count(connection, wanted=job, under=lease, new=offset)


async def find_job(connection: AsyncConnection, job: str) -> JobRow | None:
    """The job with this id."""
    row = await _FIND.row(connection, wanted=job)
    return None if row is None else JobRow(*row)


async def load_spec(connection: AsyncConnection, job: str) -> JobSpec:
    """What the job asks for, less an event that is kept apart. Raises DamagedError when what is stored can't be read."""
    (text,) = await _SPEC.row(connection, wanted=job)
    return codec.parse(JobSpec, text, where=job)


async def list_of_run(connection: AsyncConnection, run: int) -> list[JobRow]:
    """The run's jobs as they came."""
    return await _list(connection, select(*_COLUMNS).where(jobs.c.run == run).order_by(jobs.c.place))


async def list_active(connection: AsyncConnection, agent: str | None = None) -> list[JobRow]:
    """The jobs that agents (or this one) hold."""
    query = select(*_COLUMNS).where(jobs.c.status.in_(ACTIVE))
    return await _list(connection, query if agent is None else query.where(jobs.c.agent == agent))


async def list_to_cancel(connection: AsyncConnection) -> list[JobRow]:
    """The jobs that shall end and have not."""
    return [JobRow(*row) for row in await _TO_CANCEL.rows(connection)]


async def _move(
    connection: AsyncConnection,
    job: str,
    new: JobStatus,
    values: Mapping[str, object],
    *,
    lease: int | None = None,
) -> JobRow | None:
    statement = _make_move(new, tuple(values), has_lease=lease is not None)
    given = {f"new_{name}": value for name, value in values.items()}
    given["wanted"] = job
    if lease is not None:
        given["under"] = lease
    row = await statement.row(connection, **given)
    return None if row is None else JobRow(*row)


@cache
def _make_move(new: JobStatus, names: tuple[str, ...], *, has_lease: bool) -> Hot:
    statement = update(jobs).where(jobs.c.id == bindparam("wanted"), may_become(jobs.c.status, JOBS, new))
    if has_lease:
        statement = statement.where(jobs.c.lease == bindparam("under"))
    changed = statement.values(status=new, **{name: bindparam(f"new_{name}") for name in names})
    return Hot(changed.returning(*_COLUMNS))


_HELD = update(jobs).where(jobs.c.id == bindparam("wanted"), jobs.c.lease == bindparam("under"))
_SET_WAITING = Hot(
    update(jobs)
    .where(
        jobs.c.id == bindparam("wanted"),
        jobs.c.status == JobStatus.QUEUED,
        jobs.c.waiting != bindparam("new"),
    )
    .values(waiting=bindparam("new"))
    .returning(*_COLUMNS)
)
_SET_HELD = Hot(
    _HELD.where(jobs.c.status == JobStatus.RUNNING, jobs.c.waiting != bindparam("new"))
    .values(waiting=bindparam("new"))
    .returning(*_COLUMNS)
)
_SET_MACHINE = Hot(_HELD.values(machine=bindparam("new")))
_SET_APPLIED = Hot(_HELD.values(journal_applied=bindparam("new")))
_RUNNING_UNDER = _HELD.where(jobs.c.status == JobStatus.RUNNING)
_ROOM_BACK = Hot(
    _RUNNING_UNDER.where(may_become(jobs.c.room, ROOMS, RoomStatus.GIVEN_BACK)).values(
        room=RoomStatus.GIVEN_BACK, gpus=bindparam("none")
    )
)
_ROOM_WANTED = Hot(
    _RUNNING_UNDER.where(may_become(jobs.c.room, ROOMS, RoomStatus.WANTED)).values(room=RoomStatus.WANTED)
)
_ROOM_TAKEN = Hot(
    _RUNNING_UNDER.where(may_become(jobs.c.room, ROOMS, RoomStatus.HELD))
    .values(room=RoomStatus.HELD, gpus=bindparam("given"), waiting=bindparam("new"))
    .returning(*_COLUMNS)
)
_FIND = Hot(select(*_COLUMNS).where(jobs.c.id == bindparam("wanted")))
_SPEC = Hot(select(jobs.c.spec).where(jobs.c.id == bindparam("wanted")))
_TO_CANCEL = Hot(
    select(*_COLUMNS).where(
        or_(jobs.c.cancel_reason.is_not(None), jobs.c.interrupt_reason.is_not(None)),
        or_(*(jobs.c.status == status for status in _OPEN)),
    )
)
_ASSIGN = Hot(
    update(jobs)
    .where(jobs.c.id == bindparam("wanted"), may_become(jobs.c.status, JOBS, JobStatus.ASSIGNED))
    .values(
        status=JobStatus.ASSIGNED,
        agent=bindparam("to"),
        gpus=bindparam("given"),
        lease=jobs.c.lease + 1,
        assigned_at=bindparam("at"),
        waiting="",
        journal_applied=0,
        room=RoomStatus.HELD,
        interrupt_reason=None,
    )
    .returning(*_COLUMNS)
)


async def _list(connection: AsyncConnection, query: Select[Any]) -> list[JobRow]:
    return [JobRow(*row) for row in await connection.execute(query)]


async def count_open(connection: AsyncConnection) -> dict[JobStatus, int]:
    """How many jobs are in each state, of those that have not ended."""
    found = dict.fromkeys(_OPEN, 0)
    query = (
        select(jobs.c.status, func.count().label("open"))
        .where(jobs.c.status.in_(tuple(found)))
        .group_by(jobs.c.status)
    )
    return found | {row.status: row.open for row in await connection.execute(query)}
