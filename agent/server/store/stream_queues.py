"""Queues of records that are sent to flows: kept until a job has settled them.

A record is free, or taken by a job. What is taken is free again when that job does not run any more under the lease under
which it took the record. `holder` says so with the jobs' own rows: nobody has to clear away behind a job that was lost.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.hot import Hot
from agent.server.store.schema import deployments, jobs, queue_records, queues
from agent.server.store.states import RecordForm
from agent.server.store.text import without_nul
from agent.server.store.upsert import insert
from agent.spec.status import ACTIVE

RECORD_BYTES = 200  # what a record counts for beside its body


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record that has come in."""

    id: str
    form: RecordForm
    media: str
    body: bytes
    received_at: float

    @property
    def size_bytes(self) -> int:
        """What it counts for."""
        return len(self.body) + RECORD_BYTES


@dataclass(frozen=True, slots=True)
class TakingTurn:
    """Who takes records: a job, under its lease, by the request `turn`."""

    holder: str
    lease: int
    turn: str


@dataclass(frozen=True, slots=True)
class TakenRecord:
    """A record that a job has taken."""

    id: str
    form: RecordForm
    media: str
    body: bytes
    received_at: float


@dataclass(frozen=True, slots=True)
class QueueKey:
    """Which queue: of which flow of which project, and where it is reached."""

    project: int
    flow: str
    path: str


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue, and what is in it."""

    id: int
    flow: str
    path: str
    records: int
    size_bytes: int
    used_at: float


async def make_queue(connection: AsyncConnection, key: QueueKey, now: float) -> int:
    """The number of the queue, made if there is none."""
    found = await find_queue(connection, key)
    if found is None:
        fresh = insert(connection, queues).values(
            project=key.project, flow=key.flow, path=key.path, used_at=now
        )
        await connection.execute(fresh.on_conflict_do_nothing())
        found = await find_queue(connection, key)
    assert found is not None
    return found


_FIND = Hot(
    select(queues.c.id).where(
        queues.c.project == bindparam("of_project"),
        queues.c.flow == bindparam("of_flow"),
        queues.c.path == bindparam("at_path"),
    )
)


async def find_queue(connection: AsyncConnection, key: QueueKey) -> int | None:
    """The number of the queue."""
    row = await _FIND.row(connection, of_project=key.project, of_flow=key.flow, at_path=key.path)
    return None if row is None else int(row[0])


async def list_queues(connection: AsyncConnection, project: int) -> list[QueueRow]:
    """The project's queues."""
    columns = [queues.c[name] for name in QueueRow.__slots__]
    query = select(*columns).where(queues.c.project == project).order_by(queues.c.flow, queues.c.path)
    return [QueueRow(*row) for row in await connection.execute(query)]


_COUNT_BYTES = Hot(
    select(func.coalesce(func.sum(queues.c.size_bytes), 0)).where(queues.c.project == bindparam("of_project"))
)


async def count_bytes(connection: AsyncConnection, project: int) -> int:
    """What all records in the project's queues count for."""
    return int((await _COUNT_BYTES.row(connection, of_project=project))[0])


async def add_records(
    connection: AsyncConnection,
    queue: int,
    records: Sequence[NewRecord],
    now: float,
    holding: TakingTurn | None = None,
) -> None:
    """Put records into a queue: free ones, or such that somebody takes at once."""
    taken = {"holder": None, "lease": 0, "turn": ""} if holding is None else asdict(holding)
    rows = [
        {
            **taken,
            "queue": queue,
            "id": record.id,
            "form": record.form,
            "media": without_nul(record.media),
            "body": record.body,
            "size_bytes": record.size_bytes,
            "received_at": record.received_at,
        }
        for record in records
    ]
    await connection.execute(queue_records.insert(), rows)
    await _count(connection, queue, len(records), sum(record.size_bytes for record in records), now)


_COUNT = Hot(
    update(queues)
    .where(queues.c.id == bindparam("of_queue"))
    .values(
        records=queues.c.records + bindparam("more"),
        size_bytes=queues.c.size_bytes + bindparam("bytes_more"),
        used_at=bindparam("at"),
    )
)


async def _count(connection: AsyncConnection, queue: int, records: int, size_bytes: int, now: float) -> None:
    await _COUNT.count(connection, of_queue=queue, more=records, bytes_more=size_bytes, at=now)


_HAS_FREE = Hot(
    select(queue_records.c.id)
    .where(queue_records.c.queue == bindparam("of_queue"), queue_records.c.holder.is_(None))
    .limit(1)
)


async def has_free(connection: AsyncConnection, queue: int) -> bool:
    """Whether there is a record that nobody has taken."""
    return await _HAS_FREE.row(connection, of_queue=queue) is not None


def _left(queue: int) -> ColumnElement[bool]:
    """Whether a record of the queue was taken by a job that runs no more."""
    running = select(jobs.c.id).where(
        jobs.c.id == queue_records.c.holder,
        jobs.c.lease == queue_records.c.lease,
        jobs.c.status.in_(ACTIVE),
    )
    return and_(queue_records.c.queue == queue, queue_records.c.holder.is_not(None), ~running.exists())


async def has_left(connection: AsyncConnection, queue: int) -> bool:
    """Whether there is a record that a job had taken which runs no more."""
    return (
        await connection.execute(select(queue_records.c.id).where(_left(queue)).limit(1))
    ).first() is not None


async def free_left(connection: AsyncConnection, queue: int) -> int:
    """Let others have what jobs had taken that run no more: how many records these are."""
    statement = update(queue_records).where(_left(queue)).values(holder=None, lease=0, turn="")
    return (await connection.execute(statement)).rowcount


_CHOOSE = Hot(
    select(queue_records.c.id, queue_records.c.size_bytes)
    .where(queue_records.c.queue == bindparam("of_queue"), queue_records.c.holder.is_(None))
    .order_by(queue_records.c.received_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_TAKEN = [queue_records.c[name] for name in TakenRecord.__slots__]


async def take_records(
    connection: AsyncConnection, queue: int, holding: TakingTurn, *, most: int, most_bytes: int
) -> list[TakenRecord]:
    """Take the oldest free records for a job, so many and no more bytes than that (but one at least)."""
    chosen: list[str] = []
    size = 0
    for name, size_bytes in await _CHOOSE.rows(connection, of_queue=queue, most=most):
        size += size_bytes
        if chosen and size > most_bytes:
            break
        chosen.append(name)
    if not chosen:
        return []
    statement = (
        update(queue_records)
        .where(queue_records.c.queue == queue, queue_records.c.id.in_(chosen))
        .values(**asdict(holding))
        .returning(*_TAKEN)
    )
    return _sorted(await connection.execute(statement))


async def list_taken(connection: AsyncConnection, queue: int, holding: TakingTurn) -> list[TakenRecord]:
    """What the job has taken in that turn, and not settled."""
    query = select(*_TAKEN).where(
        queue_records.c.queue == queue,
        queue_records.c.holder == holding.holder,
        queue_records.c.lease == holding.lease,
        queue_records.c.turn == holding.turn,
    )
    return _sorted(await connection.execute(query))


async def settle_records(
    connection: AsyncConnection, queue: int, ids: Collection[str], *, holder: str, lease: int, now: float
) -> None:
    """Remove what the job has taken: it has ended. What is gone already, or is not the job's, is passed over."""
    statement = (
        delete(queue_records)
        .where(
            queue_records.c.queue == queue,
            queue_records.c.id.in_(list(ids)),
            queue_records.c.holder == holder,
            queue_records.c.lease == lease,
        )
        .returning(queue_records.c.size_bytes)
    )
    gone = [row[0] for row in await connection.execute(statement)]
    if gone:
        await _count(connection, queue, -len(gone), -sum(gone), now)


def _unused(project: int, unused_since: float) -> ColumnElement[bool]:
    deployed = select(deployments.c.id).where(
        deployments.c.project == queues.c.project, deployments.c.flow == queues.c.flow
    )
    return and_(queues.c.project == project, queues.c.used_at < unused_since, ~deployed.exists())


async def list_unused(connection: AsyncConnection, project: int, unused_since: float) -> list[QueueRow]:
    """The queues of flows that are not deployed, into which and out of which nothing has come since then."""
    columns = [queues.c[name] for name in QueueRow.__slots__]
    query = select(*columns).where(_unused(project, unused_since)).order_by(queues.c.id)
    return [QueueRow(*row) for row in await connection.execute(query)]


async def forget_unused(connection: AsyncConnection, project: int, queue: int, unused_since: float) -> None:
    """Forget a queue with all that is in it, if it is still unused."""
    query = select(queues.c.id).where(queues.c.id == queue, _unused(project, unused_since))
    if (await connection.execute(query)).first() is not None:
        await connection.execute(delete(queue_records).where(queue_records.c.queue == queue))
        await connection.execute(delete(queues).where(queues.c.id == queue))


def _sorted(rows: Any) -> list[TakenRecord]:
    return sorted((TakenRecord(*row) for row in rows), key=lambda record: record.received_at)
