"""Gangs: jobs that several agents run together. The job itself is the first node, each other node is a job row beside it.

`gang` names the first node in all of them, `node_rank` counts them. The rows of the other nodes are made when the gang
is given out for the first time, and used again when it had to be taken back.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ScalarSelect, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent import codec
from agent.server.store.jobs import JobRow
from agent.server.store.schema import jobs, leases
from agent.server.store.text import without_nul
from agent.spec.job import JobSpec
from agent.spec.outcome import JobResult
from agent.spec.status import JobStatus
from agent.wire.lease import LeaseState


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node of a gang, with the lease that it is held under now."""

    job: JobRow
    lease_state: LeaseState | None


async def list_nodes(connection: AsyncConnection, gang: str) -> list[NodeRow]:
    """All nodes of a gang by rank; none when it was never given out."""
    columns = [jobs.c[name] for name in JobRow.__slots__]
    query = (
        select(*columns, leases.c.state.label("lease_state"))
        .join_from(
            jobs, leases, (leases.c.job == jobs.c.id) & (leases.c.number == jobs.c.lease), isouter=True
        )
        .where(jobs.c.gang == gang)
        .order_by(jobs.c.node_rank)
    )
    found = []
    for row in (await connection.execute(query)).mappings():
        values = dict(row)
        found.append(NodeRow(lease_state=values.pop("lease_state"), job=JobRow(**values)))
    return found


async def add_node(connection: AsyncConnection, spec: JobSpec, *, gang: str, rank: int, now: float) -> None:
    """Make the row of a further node, queued as its gang is."""
    first = select(jobs).where(jobs.c.id == gang).subquery()
    place: ScalarSelect[int] = (
        select(func.count()).select_from(jobs).where(jobs.c.run == spec.run).scalar_subquery()
    )
    copied = ("project", "run", "runs_on", "group_name", "priority", "ranked_at", "request", "nodes")
    given = dict((await connection.execute(select(*(first.c[name] for name in copied)))).mappings().one())
    await connection.execute(
        insert(jobs).values(
            id=spec.job,
            place=place,
            key=spec.key,
            name=spec.name,
            status=JobStatus.QUEUED,
            spec=codec.dump(spec),
            gang=gang,
            node_rank=rank,
            queued_at=now,
            **given,
        )
    )


async def form_gang(connection: AsyncConnection, gang: str) -> None:
    """The job is the first node of a gang of its own name."""
    await connection.execute(update(jobs).where(jobs.c.id == gang).values(gang=gang))


async def note_end(connection: AsyncConnection, job: str, result: JobResult) -> bool:
    """The first node has ended while others have not: its own end is kept, the job goes on; False: known already."""
    done = await connection.execute(
        update(jobs)
        .where(jobs.c.id == job, jobs.c.status != JobStatus.COMPLETED, jobs.c.conclusion.is_(None))
        .values(
            conclusion=result.conclusion.value,
            failure_kind=result.failure_kind.value if result.failure_kind else None,
            message=without_nul(result.message),
            outputs=codec.dump(result.outputs),
        )
    )
    return done.rowcount == 1


async def list_of_jobs(connection: AsyncConnection, names: Sequence[str]) -> list[tuple[str, int, JobStatus]]:
    """(job, current lease, status) of each."""
    query = select(jobs.c.id, jobs.c.lease, jobs.c.status).where(jobs.c.id.in_(names))
    return [(row.id, row.lease, row.status) for row in await connection.execute(query)]
