"""Deliveries that may start runs: a queue that is worked off, and the book of what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.hot import Hot
from agent.server.store.schema import deliveries, origins
from agent.server.store.states import DELIVERIES, DeliveryStatus
from agent.server.store.upsert import insert


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One delivery without its payload."""

    id: int
    project: int
    scope: str
    identifier: str
    provider: str
    event: str
    action: str
    subject: str
    depth: int
    status: DeliveryStatus
    is_approved: bool
    attempt: int
    due_at: float | None
    outcome: str
    results: str
    received_at: float
    finished_at: float | None


@dataclass(frozen=True, slots=True)
class OriginRow:
    """What started a run."""

    run: int
    start: str
    delivery: int | None
    repository: str | None
    flow: str
    commit: str
    is_trusted: bool
    depth: int


_MOST_APPROVED = 20  # that are looked through for a head
_COLUMNS = [deliveries.c[name] for name in DeliveryRow.__slots__]
_FIND_ORIGIN = Hot(
    select(*(origins.c[name] for name in OriginRow.__slots__)).where(origins.c.run == bindparam("of_run"))
)


async def add_delivery(
    connection: AsyncConnection,
    *,
    project: int,
    scope: str,
    identifier: str,
    replay_key: str,
    provider: str,
    event: str,
    action: str,
    subject: str,
    payload: str,
    depth: int,
    now: float,
    outcome: str | None = None,
) -> int | None:
    """Take a delivery in; None when it, or what it is a replay of, is here already.

    With an `outcome` there is nothing to do about it: it is only written down.
    """
    is_done = outcome is not None
    statement = insert(connection, deliveries).values(
        project=project,
        scope=scope,
        identifier=identifier,
        replay_key=replay_key,
        provider=provider,
        event=event,
        action=action,
        subject=subject,
        payload=payload,
        depth=depth,
        status=DeliveryStatus.DONE if is_done else DeliveryStatus.WAITING,
        is_approved=False,
        attempt=0,
        due_at=None if is_done else now,
        outcome=outcome or "",
        results="[]",
        received_at=now,
        finished_at=now if is_done else None,
    )
    statement = statement.on_conflict_do_nothing()
    added = (await connection.execute(statement.returning(deliveries.c.id))).scalar_one_or_none()
    return None if added is None else int(added)


async def find_delivery(connection: AsyncConnection, delivery: int) -> DeliveryRow | None:
    """The delivery with this id."""
    query = select(*_COLUMNS).where(deliveries.c.id == delivery, deliveries.c.status != DeliveryStatus.GONE)
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else DeliveryRow(**row)


async def project_of(connection: AsyncConnection, delivery: int) -> int | None:
    """The project that the delivery belongs to."""
    query = select(deliveries.c.project).where(deliveries.c.id == delivery)
    return (await connection.execute(query)).scalar_one_or_none()


async def load_payload(connection: AsyncConnection, delivery: int) -> str:
    """What was sent, as JSON."""
    query = select(deliveries.c.payload).where(deliveries.c.id == delivery)
    return str((await connection.execute(query)).scalar_one())


async def find_newer(connection: AsyncConnection, row: DeliveryRow, actions: Sequence[str]) -> int | None:
    """A later delivery about the same subject with one of `actions`."""
    query = (
        select(deliveries.c.id)
        .where(
            deliveries.c.scope == row.scope,
            deliveries.c.subject == row.subject,
            deliveries.c.id > row.id,
            deliveries.c.action.in_(actions),
        )
        .order_by(deliveries.c.id)
        .limit(1)
    )
    return (await connection.execute(query)).scalar_one_or_none()


async def list_deliveries(
    connection: AsyncConnection,
    project: int,
    *,
    limit: int,
    before: int | None = None,
    scope: str | None = None,
    status: DeliveryStatus | None = None,
) -> list[DeliveryRow]:
    """The project's deliveries, newest first, with an id below `before`."""
    query = select(*_COLUMNS).where(
        deliveries.c.project == project, deliveries.c.status != DeliveryStatus.GONE
    )
    query = query.order_by(deliveries.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(deliveries.c.id < before)
    if scope is not None:
        query = query.where(deliveries.c.scope == scope)
    if status is not None:
        query = query.where(deliveries.c.status == status)
    return [DeliveryRow(**row) for row in (await connection.execute(query)).mappings()]


async def list_first_due(connection: AsyncConnection, now: float, limit: int) -> list[DeliveryRow]:
    """Of each scope the oldest delivery that somebody should work on now, oldest first."""
    firsts = select(func.min(deliveries.c.id)).where(deliveries.c.due_at <= now).group_by(deliveries.c.scope)
    query = select(*_COLUMNS).where(deliveries.c.id.in_(firsts)).order_by(deliveries.c.id).limit(limit)
    return [DeliveryRow(**row) for row in (await connection.execute(query)).mappings()]


async def let_wait(connection: AsyncConnection, row: DeliveryRow, until: float, why: str) -> None:
    """Nobody works on a due delivery until `until`, which counts as no attempt."""
    statement = (
        update(deliveries)
        .where(deliveries.c.id == row.id, deliveries.c.due_at == row.due_at)
        .values(due_at=until, outcome=why)
    )
    await connection.execute(statement)


async def list_approved(connection: AsyncConnection, row: DeliveryRow) -> list[int]:
    """The deliveries about the same subject that somebody approved, newest first."""
    query = (
        select(deliveries.c.id)
        .where(
            deliveries.c.scope == row.scope,
            deliveries.c.subject == row.subject,
            deliveries.c.is_approved,
        )
        .order_by(deliveries.c.id.desc())
        .limit(_MOST_APPROVED)
    )
    return list((await connection.execute(query)).scalars())


async def claim_delivery(connection: AsyncConnection, row: DeliveryRow, until: float) -> bool:
    """Take a due delivery until `until`; False when another server was first."""
    statement = (
        update(deliveries)
        .where(deliveries.c.id == row.id, deliveries.c.due_at == row.due_at)
        .values(due_at=until, attempt=deliveries.c.attempt + 1)
    )
    return (await connection.execute(statement)).rowcount == 1


async def renew_claim(connection: AsyncConnection, row: DeliveryRow, until: float) -> None:
    """Hold a delivery that was claimed (`row` as it was then) until `until`."""
    mine = and_(
        deliveries.c.id == row.id, deliveries.c.attempt == row.attempt, deliveries.c.due_at.is_not(None)
    )
    await connection.execute(update(deliveries).where(mine).values(due_at=until))


async def settle_delivery(
    connection: AsyncConnection,
    row: DeliveryRow,
    *,
    status: DeliveryStatus,
    outcome: str,
    results: str,
    now: float,
    due_at: float | None = None,
) -> bool:
    """What became of a delivery that was claimed (`row` as it was then); False when the claim was lost meanwhile.

    Raises ImpossibleTransitionError.
    """
    DELIVERIES.check(row.status, status)
    statement = (
        update(deliveries)
        .where(*_is(row), deliveries.c.attempt == row.attempt)
        .values(
            status=status,
            outcome=outcome,
            results=results,
            due_at=due_at,
            finished_at=None if due_at is not None else now,
        )
    )
    return (await connection.execute(statement)).rowcount == 1


async def wake_delivery(
    connection: AsyncConnection, row: DeliveryRow, now: float, *, is_approved: bool
) -> bool:
    """Let the delivery be worked on again; False when somebody else was quicker. Raises ImpossibleTransitionError."""
    DELIVERIES.check(row.status, DeliveryStatus.WAITING)
    values = {"due_at": now, "finished_at": None, "is_approved": is_approved}
    statement = update(deliveries).where(*_is(row)).values(status=DeliveryStatus.WAITING, **values)
    return (await connection.execute(statement)).rowcount == 1


def _is(row: DeliveryRow) -> list[ColumnElement[bool]]:
    return [deliveries.c.id == row.id, deliveries.c.status == row.status]


async def next_due(connection: AsyncConnection) -> float | None:
    """When the next delivery is to be worked on."""
    query = select(deliveries.c.due_at).where(deliveries.c.due_at.is_not(None))
    return (await connection.execute(query.order_by(deliveries.c.due_at).limit(1))).scalar_one_or_none()


async def add_origin(connection: AsyncConnection, row: OriginRow) -> None:
    """Note what started a run."""
    await connection.execute(
        insert(connection, origins).values(**{name: getattr(row, name) for name in OriginRow.__slots__})
    )


async def find_origin(connection: AsyncConnection, run: int) -> OriginRow | None:
    """What started the run; None for one that a person submitted with its flow's text."""
    row = await _FIND_ORIGIN.row(connection, of_run=run)
    return None if row is None else OriginRow(*row)


async def find_started(connection: AsyncConnection, start: str) -> int | None:
    """The run that `start` has started already."""
    query = select(origins.c.run).where(origins.c.start == start)
    return (await connection.execute(query)).scalar_one_or_none()
