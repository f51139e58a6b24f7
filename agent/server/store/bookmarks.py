"""Bookmarks of flows of stages: a small value each, and the job that holds it, under a fence that only grows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import bookmarks, deployments, jobs
from agent.server.store.upsert import insert
from agent.spec.status import ACTIVE

MOST_OF_FLOW = 10_000


@dataclass(frozen=True, slots=True)
class BookmarkRow:
    """A bookmark. `is_held`: a job that runs has it, for `seconds` since its holder last kept it (`beat`)."""

    name: str
    value: str | None
    fence: int
    holder: str | None
    lease: int
    seconds: float
    beat: int
    is_held: bool


def _holds() -> ColumnElement[bool]:
    """Whether the holder still runs under the lease under which it has taken the bookmark."""
    running = select(jobs.c.id).where(
        jobs.c.id == bookmarks.c.holder, jobs.c.lease == bookmarks.c.lease, jobs.c.status.in_(ACTIVE)
    )
    return and_(bookmarks.c.holder.is_not(None), running.exists())


_COLUMNS = [
    *(bookmarks.c[name] for name in BookmarkRow.__slots__[:-1]),
    case((_holds(), 1), else_=0).label("is_held"),
]


def _is(project: int, flow: str, name: str) -> ColumnElement[bool]:
    return and_(bookmarks.c.project == project, bookmarks.c.flow == flow, bookmarks.c.name == name)


async def make_bookmark(
    connection: AsyncConnection, project: int, flow: str, name: str, now: float
) -> BookmarkRow:
    """The bookmark, made if there is none, which nobody else changes until this transaction ends."""
    fresh = insert(connection, bookmarks).values(
        project=project, flow=flow, name=name, fence=0, seconds=0.0, used_at=now
    )
    await connection.execute(fresh.on_conflict_do_nothing())
    query = select(*_COLUMNS).where(_is(project, flow, name)).with_for_update(of=bookmarks)
    return _read((await connection.execute(query)).one())


async def hand_over(
    connection: AsyncConnection,
    project: int,
    flow: str,
    name: str,
    *,
    holder: str,
    lease: int,
    seconds: float,
    now: float,
) -> tuple[int, str | None]:
    """Give the bookmark to a job: the new fence, and the value."""
    statement = (
        update(bookmarks)
        .where(_is(project, flow, name))
        .values(
            holder=holder,
            lease=lease,
            seconds=seconds,
            fence=bookmarks.c.fence + 1,
            beat=bookmarks.c.beat + 1,
            used_at=now,
        )
        .returning(bookmarks.c.fence, bookmarks.c.value)
    )
    fence, value = (await connection.execute(statement)).one()
    return int(fence), value


async def change_held(
    connection: AsyncConnection,
    project: int,
    flow: str,
    name: str,
    fence: int,
    values: Mapping[str, object],
) -> bool:
    """Change a bookmark as its holder under `fence` wants it; False: it is another's by now."""
    is_it = and_(_is(project, flow, name), bookmarks.c.fence == fence, bookmarks.c.holder.is_not(None))
    statement = update(bookmarks).where(is_it).values({**values, "beat": bookmarks.c.beat + 1})
    return (await connection.execute(statement)).rowcount == 1


async def count_bookmarks(connection: AsyncConnection, project: int, flow: str) -> int:
    """How many the flow has."""
    query = select(func.count()).where(bookmarks.c.project == project, bookmarks.c.flow == flow)
    return int((await connection.execute(query)).scalar_one())


async def list_bookmarks(
    connection: AsyncConnection, project: int, flow: str, prefix: str
) -> list[BookmarkRow]:
    """The flow's bookmarks whose names begin so, by name."""
    query = select(*_COLUMNS).where(
        bookmarks.c.project == project,
        bookmarks.c.flow == flow,
        bookmarks.c.name.startswith(prefix, autoescape=True),
    )
    return [_read(row) for row in await connection.execute(query.order_by(bookmarks.c.name))]


def _unused(project: int, unused_since: float) -> ColumnElement[bool]:
    deployed = select(deployments.c.id).where(
        deployments.c.project == bookmarks.c.project, deployments.c.flow == bookmarks.c.flow
    )
    return and_(bookmarks.c.project == project, bookmarks.c.used_at < unused_since, ~deployed.exists())


async def list_unused(
    connection: AsyncConnection, project: int, unused_since: float
) -> Sequence[tuple[str, int]]:
    """The flows that are not deployed and whose bookmarks nobody has used since then, and how many these are."""
    query = (
        select(bookmarks.c.flow, func.count())
        .where(_unused(project, unused_since), ~_holds())
        .group_by(bookmarks.c.flow)
        .order_by(bookmarks.c.flow)
    )
    return [(row[0], row[1]) for row in await connection.execute(query)]


async def forget_unused(connection: AsyncConnection, project: int, flow: str, unused_since: float) -> None:
    """Forget the flow's bookmarks that nobody has used since then."""
    gone = and_(_unused(project, unused_since), bookmarks.c.flow == flow, ~_holds())
    await connection.execute(delete(bookmarks).where(gone))


def _read(row: Any) -> BookmarkRow:
    return BookmarkRow(**{**row._mapping, "is_held": bool(row.is_held)})  # noqa: SLF001 - it is public, by its documentation
