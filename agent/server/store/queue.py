"""The queue as the scheduler reads it, what agents hold, what was held lately. Each is one query over an index."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.hot import Hot
from agent.server.store.schema import jobs
from agent.server.store.schema.runs import QUEUED
from agent.spec.status import ACTIVE, JobStatus, RoomStatus

MOST_PER_PROJECT = 500  # looked at in a round: what is behind has others of its project to wait for first


@dataclass(frozen=True, slots=True)
class QueuedRow:
    """A job that waits. `runs_on` and `request` are JSON text."""

    id: str
    project: int
    run: int
    key: str
    priority: int
    queued_at: float
    runs_on: str
    group_name: str
    request: str
    nodes: int
    limit_seconds: float | None
    waiting: str
    ranked_at: float
    interruptible: int


@dataclass(frozen=True, slots=True)
class HeldRow:
    """A job, or one node of a gang, that an agent holds; its GPUs and request are JSON text."""

    id: str
    project: int
    run: int
    key: str
    agent: str
    request: str
    gpus: str
    limit_seconds: float | None
    assigned_at: float
    ranked_at: float
    priority: int
    interruptible: int  # 1: for a job that comes before it
    interrupt_reason: str | None  # it is on its way out
    started_at: float | None
    checkpointed_at: float | None
    gang: str | None
    attempt: int


@dataclass(frozen=True, slots=True)
class ReturningRow:
    """A running job that has given its room back, and goes on as soon as it has room on its agent again."""

    id: str
    project: int
    run: int
    key: str
    agent: str
    lease: int
    priority: int
    queued_at: float
    runs_on: str
    group_name: str
    request: str
    limit_seconds: float | None
    waiting: str


@dataclass(frozen=True, slots=True)
class UsedRow:
    """What a job held for how long."""

    project: int
    request: str
    gpus: str
    seconds: float


def _make_queue() -> Select[Any]:
    place = (jobs.c.ranked_at, jobs.c.run, jobs.c.place)
    columns = [jobs.c[name] for name in QueuedRow.__slots__ if name != "ranked_at"]
    turn = func.row_number().over(partition_by=jobs.c.project, order_by=place).label("turn")
    queue = select(*columns, jobs.c.ranked_at, jobs.c.place, turn).where(QUEUED).subquery()
    return (
        select(*(queue.c[name] for name in QueuedRow.__slots__))
        .where(queue.c.turn <= MOST_PER_PROJECT)
        .order_by(queue.c.ranked_at, queue.c.run, queue.c.place)
    )


_QUEUE = Hot(_make_queue())
_HELD = Hot(
    select(*(jobs.c[name] for name in HeldRow.__slots__)).where(
        or_(*(jobs.c.status == status for status in ACTIVE)),
        jobs.c.conclusion.is_(None),
        jobs.c.agent.is_not(None),
        jobs.c.room == RoomStatus.HELD,
    )
)
_RETURNING = Hot(
    select(*(jobs.c[name] for name in ReturningRow.__slots__))
    .where(jobs.c.status == JobStatus.RUNNING, jobs.c.agent.is_not(None), jobs.c.room == RoomStatus.WANTED)
    .order_by(jobs.c.ranked_at, jobs.c.run, jobs.c.place)
)


async def list_queued(connection: AsyncConnection) -> list[QueuedRow]:
    """The first jobs of each project's queue, in the order in which they are to be served."""
    return [QueuedRow(*row) for row in await _QUEUE.rows(connection)]


async def list_held(connection: AsyncConnection) -> list[HeldRow]:
    """All that agents hold. A node of a gang that has ended before the others holds nothing any more, nor does a job that has
    given its room back.
    """
    return [HeldRow(*row) for row in await _HELD.rows(connection)]


async def list_returning(connection: AsyncConnection) -> list[ReturningRow]:
    """The jobs that want the room back that they had, those first that came first into the queue."""
    return [ReturningRow(*row) for row in await _RETURNING.rows(connection)]


async def list_used(connection: AsyncConnection, since: float, now: float) -> list[UsedRow]:
    """What jobs that began after `since` have held until now."""
    until = func.coalesce(jobs.c.finished_at, now)
    columns = (jobs.c.project, jobs.c.request, jobs.c.gpus, (until - jobs.c.assigned_at).label("seconds"))
    query = (
        select(*columns)
        .where(
            or_(jobs.c.status == JobStatus.COMPLETED, jobs.c.status == JobStatus.RUNNING),
            jobs.c.queued_at > since,
            jobs.c.assigned_at.is_not(None),
        )
        .limit(100_000)
    )
    return [UsedRow(*row) for row in await connection.execute(query)]


async def count_queued(connection: AsyncConnection, project: int) -> int:
    """How many jobs of the project wait."""
    query = select(func.count()).select_from(jobs).where(QUEUED, jobs.c.project == project)
    return int((await connection.execute(query)).scalar_one())


async def spent_agents(connection: AsyncConnection, agents: list[str]) -> set[str]:
    """Those of `agents` that have or had a job."""
    if not agents:
        return set()
    query = select(jobs.c.agent).where(jobs.c.agent.in_(agents)).distinct()
    return {str(row.agent) for row in await connection.execute(query)}
