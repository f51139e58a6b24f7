"""Leases: which agent holds which job under which number. `agent.wire.lease` says what may follow what."""

import json
from collections.abc import Collection, Iterable
from functools import cache

from sqlalchemy import and_, bindparam, func, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.errors import StaleLeaseError
from agent.server.store.archives import want_archive
from agent.server.store.hot import Hot
from agent.server.store.schema import jobs, leases
from agent.server.store.text import without_nul
from agent.server.store.transitions import may_become
from agent.spec.status import JobStatus
from agent.states import ImpossibleTransitionError
from agent.wire.lease import ENDS, LEASES, Lease, LeaseState
from agent.wire.lease_watch import OVER
from agent.wire.messages import CANNOT_KEEP, CHANGED_MACHINE

LOST_OFFER = "its agent came back without it"
_REST_SECONDS = 5.0  # viewers who follow the job have its end by then
_COLUMNS = [leases.c[name] for name in Lease.__slots__]
_ADD = Hot(insert(leases))
_FIND = Hot(
    select(*_COLUMNS).where(
        leases.c.job == bindparam("of_job"),
        leases.c.number == bindparam("under"),
        leases.c.agent == bindparam("of_agent"),
    )
)
_STATE = Hot(
    select(leases.c.state).where(leases.c.job == bindparam("of_job"), leases.c.number == bindparam("under"))
)
_OPEN = Hot(select(*_COLUMNS).where(leases.c.deadline.is_not(None)))
_OVER = Hot(select(*_COLUMNS).where(leases.c.deadline <= bindparam("over")))
_REFUSALS = Hot(
    select(func.coalesce(jobs.c.gang, jobs.c.id), leases.c.agent, leases.c.reason, leases.c.ended_at)
    .join(jobs, jobs.c.id == leases.c.job)
    .where(leases.c.state == LeaseState.REFUSED, leases.c.ended_at > bindparam("since"))
)


async def add_lease(connection: AsyncConnection, lease: Lease, now: float) -> None:
    """Store a lease that was just offered."""
    await _ADD.count(
        connection,
        job=lease.job,
        number=lease.number,
        agent=lease.agent,
        state=lease.state.value,
        deadline=lease.deadline,
        offered_at=now,
        reason="",
    )


async def find_lease(connection: AsyncConnection, job: str, number: int, agent: str) -> Lease:
    """The lease of `job` under `number`.

    Raises StaleLeaseError when there is none, or when it is another agent's.
    """
    row = await _FIND.row(connection, of_job=job, under=number, of_agent=agent)
    if row is None:
        raise StaleLeaseError(f"lease {number} was never given to this agent", where=f"job {job}")
    return Lease(*row)


async def find_offered_at(connection: AsyncConnection, job: str, number: int) -> float | None:
    """When the lease of `job` under `number` was offered; None when there is none."""
    query = select(leases.c.offered_at).where(leases.c.job == job, leases.c.number == number)
    found: float | None = (await connection.execute(query)).scalar_one_or_none()
    return found


async def list_offered(connection: AsyncConnection, agent: str) -> list[tuple[str, int, tuple[str, ...]]]:
    """What was offered to the agent and not answered yet: job, lease number, GPUs."""
    query = (
        select(leases.c.job, leases.c.number, jobs.c.gpus)
        .join(jobs, (jobs.c.id == leases.c.job) & (jobs.c.lease == leases.c.number))
        .where(
            jobs.c.agent == agent, jobs.c.status == JobStatus.ASSIGNED, leases.c.state == LeaseState.OFFERED
        )
    )
    return [(row.job, row.number, tuple(json.loads(row.gpus))) for row in await connection.execute(query)]


async def list_refusals(
    connection: AsyncConnection, since: float, changed_since: float
) -> dict[str, dict[str, str]]:
    """The jobs that agents have refused since then: by job (a gang's node is its gang's), each agent's reason.

    One that was about a machine that had changed counts only since `changed_since`: its agent has said what it has now.
    """
    refusals: dict[str, dict[str, str]] = {}
    rows = await _REFUSALS.rows(connection, since=since)
    for job, agent, reason, at in rows:
        if at <= changed_since and reason.startswith(CHANGED_MACHINE):
            continue
        refusals.setdefault(job, {})[agent] = reason
    return refusals


async def count_fruitless(connection: AsyncConnection, job: str) -> int:
    """How many offers of the job have come to nothing in a way that speaks against the job, not against the moment.

    Those that no agent could keep, were lost with their connection, or got no answer: what an agent refuses because it
    is busy, leaves, or has no room for it, is not counted, nor what was taken back for the sake of others.
    """
    lost = and_(leases.c.state == LeaseState.REVOKED, leases.c.reason == LOST_OFFER)
    refused = and_(leases.c.state == LeaseState.REFUSED, leases.c.reason.startswith(CANNOT_KEEP))
    against = or_(lost, refused, leases.c.state == LeaseState.EXPIRED)
    query = select(func.count()).select_from(leases).where(leases.c.job == job, against)
    return int((await connection.execute(query)).scalar_one())


async def is_released(connection: AsyncConnection, job: str, number: int) -> bool:
    """Whether the lease came to its normal end: its journal is whole here."""
    row = await _STATE.row(connection, of_job=job, under=number)
    return row is not None and row[0] is LeaseState.RELEASED


async def list_ended(connection: AsyncConnection, jobs: Collection[str]) -> dict[tuple[str, int], str]:
    """The leases of these jobs that came to no good end, as (job, number): why."""
    if not jobs:
        return {}
    bad = ENDS - {LeaseState.RELEASED}
    query = select(leases.c.job, leases.c.number, leases.c.reason).where(
        leases.c.job.in_(list(jobs)), leases.c.state.in_(bad)
    )
    return {(row.job, row.number): row.reason for row in await connection.execute(query)}


async def save_lease(connection: AsyncConnection, lease: Lease, now: float, reason: str = "") -> None:
    """Store what became of a lease; when it is over its journal may be archived soon.

    Raises ImpossibleTransitionError when the lease that is stored can't become that.
    """
    ended = now if lease.deadline is None else None
    saved = await _make_save(lease.state).count(
        connection,
        of_job=lease.job,
        under=lease.number,
        new_deadline=lease.deadline,
        new_ended_at=ended,
        new_reason=without_nul(reason),
    )
    if not saved:
        raise ImpossibleTransitionError(
            f"lease {lease.number} of job {lease.job} can't become {lease.state} any more"
        )
    if ended is not None:
        await want_archive(connection, lease.job, lease.number, ended + _REST_SECONDS)


async def end_now(connection: AsyncConnection, job: str, number: int) -> None:
    """Let a lease that has not ended be over."""
    await connection.execute(
        update(leases)
        .where(leases.c.job == job, leases.c.number == number, leases.c.deadline.is_not(None))
        .values(deadline=OVER)
    )


async def list_open(connection: AsyncConnection) -> list[Lease]:
    """The leases that have not ended."""
    return [Lease(*row) for row in await _OPEN.rows(connection)]


async def list_over(connection: AsyncConnection) -> list[Lease]:
    """Those of them of which somebody has said that they are over."""
    return [Lease(*row) for row in await _OVER.rows(connection, over=OVER)]


async def extend_leases(
    connection: AsyncConnection, deadline: float, *, agent: str, jobs: Iterable[str]
) -> None:
    """A sign of life of `agent` that names `jobs`: their accepted leases, but those that are over, get this deadline.

    Those that are being changed at this moment are left out: they get a new deadline, or end.
    """
    chosen = select(leases.c.job, leases.c.number).where(
        leases.c.state == LeaseState.ACCEPTED,
        leases.c.deadline > OVER,
        leases.c.agent == agent,
        leases.c.job.in_(list(jobs)),
    )
    free = chosen.with_for_update(skip_locked=True)
    statement = update(leases).where(tuple_(leases.c.job, leases.c.number).in_(free))
    await connection.execute(statement.values(deadline=deadline))


@cache
def _make_save(new: LeaseState) -> Hot:
    is_it = (leases.c.job == bindparam("of_job")) & (leases.c.number == bindparam("under"))
    values: dict[str, object] = {
        name: bindparam(f"new_{name}") for name in ("deadline", "ended_at", "reason")
    }
    return Hot(
        update(leases).where(is_it, may_become(leases.c.state, LEASES, new)).values(state=new, **values)
    )
