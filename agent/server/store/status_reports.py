"""Status reports that repositories are still to be sent about their commits: an outbox, in order for each run."""

from dataclasses import dataclass

from sqlalchemy import Select, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.deliveries import OriginRow
from agent.server.store.schema import origins, status_reports

LONGEST_CONTEXT = 255  # characters of a context that are reported


@dataclass(frozen=True, slots=True)
class StatusReportRow:
    """One state of one run, or of a flow that is not valid and has none, for the commit that it is about."""

    id: int
    repository: str
    run: int | None
    commit: str
    context: str
    state: str
    description: str
    attempt: int
    due_at: float | None
    sent_at: float | None
    problem: str


async def add_report(
    connection: AsyncConnection,
    *,
    repository: str,
    run: int | None,
    commit: str,
    context: str,
    state: str,
    description: str,
    now: float,
) -> None:
    """Put a report into the outbox."""
    statement = insert(status_reports).values(
        repository=repository,
        run=run,
        commit=commit,
        context=context,
        state=state,
        description=description,
        attempt=0,
        due_at=now,
        problem="",
    )
    await connection.execute(statement)


async def is_anothers(connection: AsyncConnection, repository: str, origin: OriginRow, context: str) -> bool:
    """Whether a flow in another file than the origin's has reported to its commit in this context: they have one name."""
    query = (
        select(status_reports.c.id)
        .join(origins, origins.c.run == status_reports.c.run)
        .where(
            status_reports.c.repository == repository,
            status_reports.c.commit == origin.commit,
            status_reports.c.context == context,
            origins.c.flow != origin.flow,
        )
        .limit(1)
    )
    return (await connection.execute(query)).first() is not None


async def is_reported(connection: AsyncConnection, repository: str, commit: str, context: str) -> bool:
    """Whether this platform reports on the commit in that context, as a host says it: cut to what it takes."""
    query = (
        select(status_reports.c.id)
        .where(
            status_reports.c.repository == repository,
            status_reports.c.commit == commit,
            func.substr(status_reports.c.context, 1, LONGEST_CONTEXT) == context,
        )
        .limit(1)
    )
    return (await connection.execute(query)).first() is not None


async def list_due(connection: AsyncConnection, now: float, limit: int) -> list[StatusReportRow]:
    """The oldest report of each run that is not sent, when it is due."""
    query = (
        select(status_reports)
        .where(status_reports.c.due_at <= now, status_reports.c.id.in_(_first_of_each()))
        .order_by(status_reports.c.id)
        .limit(limit)
    )
    return [StatusReportRow(**row) for row in (await connection.execute(query)).mappings()]


async def list_of_run(connection: AsyncConnection, run: int) -> list[StatusReportRow]:
    """All reports of a run, in their order."""
    query = select(status_reports).where(status_reports.c.run == run).order_by(status_reports.c.id)
    return [StatusReportRow(**row) for row in (await connection.execute(query)).mappings()]


async def claim_report(connection: AsyncConnection, row: StatusReportRow, until: float) -> bool:
    """Take a report until `until`; False when another server was first."""
    statement = (
        update(status_reports)
        .where(status_reports.c.id == row.id, status_reports.c.due_at == row.due_at)
        .values(due_at=until, attempt=status_reports.c.attempt + 1)
    )
    return (await connection.execute(statement)).rowcount == 1


async def settle_report(
    connection: AsyncConnection,
    report: int,
    *,
    due_at: float | None,
    sent_at: float | None = None,
    problem: str = "",
) -> None:
    """The report was sent (`sent_at`), is to be sent later (`due_at`), or is given up."""
    values = {"due_at": due_at, "sent_at": sent_at, "problem": problem}
    await connection.execute(update(status_reports).where(status_reports.c.id == report).values(**values))


async def next_due(connection: AsyncConnection) -> float | None:
    """When the next report is to be sent: the oldest of some run."""
    query = select(status_reports.c.due_at).where(status_reports.c.id.in_(_first_of_each()))
    return (await connection.execute(query.order_by(status_reports.c.due_at).limit(1))).scalar_one_or_none()


def _first_of_each() -> Select[tuple[int]]:
    """Of each run the oldest report that is not sent; a report about no run stands for itself."""
    thread = func.coalesce(status_reports.c.run, -status_reports.c.id)
    unsent = status_reports.c.due_at.is_not(None)
    return select(func.min(status_reports.c.id)).where(unsent).group_by(thread)
