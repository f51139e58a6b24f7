"""Flows that the server knows: stored ones and those of repositories' default branches; their events and times."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, delete, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import flow_events, flows, schedules, webhooks


@dataclass(frozen=True, slots=True)
class FlowRow:
    """A flow. `repository` None: it is stored here."""

    id: int
    project: int
    repository: str | None
    name: str
    title: str
    dialect: str | None
    text: str
    called: str
    problems: str
    is_enabled: bool
    updated_at: float


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One time of a flow."""

    flow: int
    cron: str
    zone: str
    due_at: float
    started_at: float | None
    outcome: str


async def put_flow(
    connection: AsyncConnection,
    project: int,
    repository: str | None,
    name: str,
    *,
    title: str,
    dialect: str | None,
    text: str,
    called: str,
    problems: str,
    now: float,
) -> int:
    """Store or replace a flow; gives its id. Whether it is enabled stays."""
    values = {
        "title": title,
        "dialect": dialect,
        "text": text,
        "called": called,
        "problems": problems,
        "updated_at": now,
    }
    found = await find_named(connection, project, repository, name)
    if found is not None:
        await connection.execute(update(flows).where(flows.c.id == found.id).values(**values))
        return found.id
    added = insert(flows).values(project=project, repository=repository, name=name, is_enabled=True, **values)
    return int((await connection.execute(added.returning(flows.c.id))).scalar_one())


async def set_events(connection: AsyncConnection, flow: int, events: Iterable[str]) -> None:
    """The events that the flow waits for."""
    await connection.execute(delete(flow_events).where(flow_events.c.flow == flow))
    for event in sorted(set(events)):
        await connection.execute(insert(flow_events).values(flow=flow, event=event))


async def find_flow(connection: AsyncConnection, flow: int) -> FlowRow | None:
    """The flow with this id."""
    row = (await connection.execute(select(flows).where(flows.c.id == flow))).mappings().one_or_none()
    return None if row is None else FlowRow(**row)


async def find_named(
    connection: AsyncConnection, project: int, repository: str | None, name: str
) -> FlowRow | None:
    """The stored flow with this name, or the repository's flow with this path."""
    query = select(flows).where(flows.c.project == project, flows.c.name == name)
    query = query.where(
        flows.c.repository.is_(None) if repository is None else flows.c.repository == repository
    )
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else FlowRow(**row)


async def list_flows(
    connection: AsyncConnection, project: int | None = None, repository: str | None = None
) -> list[FlowRow]:
    """All flows, a project's, or a repository's, by name."""
    query = select(flows).order_by(flows.c.repository, flows.c.name, flows.c.id)
    if project is not None:
        query = query.where(flows.c.project == project)
    if repository is not None:
        query = query.where(flows.c.repository == repository)
    return [FlowRow(**row) for row in (await connection.execute(query)).mappings()]


async def list_waiting_for(connection: AsyncConnection, project: int, event: str) -> list[FlowRow]:
    """The project's enabled flows that wait for `event`."""
    query = (
        select(flows)
        .join(flow_events, flow_events.c.flow == flows.c.id)
        .where(flows.c.project == project, flow_events.c.event == event, flows.c.is_enabled)
        .order_by(flows.c.id)
    )
    return [FlowRow(**row) for row in (await connection.execute(query)).mappings()]


async def is_awaited(connection: AsyncConnection, project: int, event: str) -> bool:
    """Whether any enabled flow of the project waits for `event`."""
    query = (
        select(flow_events.c.flow)
        .join(flows, flows.c.id == flow_events.c.flow)
        .where(flow_events.c.event == event, flows.c.project == project, flows.c.is_enabled)
    )
    return bool((await connection.execute(select(exists(query)))).scalar())


async def set_enabled(connection: AsyncConnection, flow: int, *, is_enabled: bool) -> bool:
    """Let the flow start by itself, or not; False when there is no such flow."""
    statement = update(flows).where(flows.c.id == flow).values(is_enabled=is_enabled)
    return (await connection.execute(statement)).rowcount == 1


async def remove_flow(connection: AsyncConnection, flow: int) -> bool:
    """Forget a flow with its events, times and webhooks; False when there is none such."""
    for table in (flow_events, schedules, webhooks):
        await connection.execute(delete(table).where(table.c.flow == flow))
    return (await connection.execute(delete(flows).where(flows.c.id == flow))).rowcount == 1


async def list_schedules(connection: AsyncConnection, flow: int | None = None) -> list[ScheduleRow]:
    """All times, or a flow's."""
    query = select(schedules).order_by(schedules.c.flow, schedules.c.cron, schedules.c.zone)
    if flow is not None:
        query = query.where(schedules.c.flow == flow)
    return [ScheduleRow(**row) for row in (await connection.execute(query)).mappings()]


async def add_schedule(connection: AsyncConnection, flow: int, cron: str, zone: str, due_at: float) -> None:
    """A new time of a flow."""
    values = {"flow": flow, "cron": cron, "zone": zone, "due_at": due_at, "outcome": ""}
    await connection.execute(insert(schedules).values(**values))


async def remove_schedule(connection: AsyncConnection, flow: int, cron: str, zone: str) -> None:
    """A time that the flow has no more."""
    await connection.execute(delete(schedules).where(_is(flow, cron, zone)))


async def list_due(connection: AsyncConnection, now: float) -> list[ScheduleRow]:
    """The times that have come, of flows that are enabled or not."""
    query = select(schedules).where(schedules.c.due_at <= now).order_by(schedules.c.due_at).limit(100)
    return [ScheduleRow(**row) for row in (await connection.execute(query)).mappings()]


async def move_schedule(connection: AsyncConnection, row: ScheduleRow, due_at: float) -> bool:
    """Set the next time; False when another server has done it: then the start is theirs."""
    statement = (
        update(schedules)
        .where(_is(row.flow, row.cron, row.zone), schedules.c.due_at == row.due_at)
        .values(due_at=due_at)
    )
    return (await connection.execute(statement)).rowcount == 1


async def note_schedule(
    connection: AsyncConnection, row: ScheduleRow, outcome: str, started_at: float | None
) -> None:
    """What became of the time that was due."""
    values: dict[str, object] = {"outcome": outcome}
    if started_at is not None:
        values["started_at"] = started_at
    await connection.execute(update(schedules).where(_is(row.flow, row.cron, row.zone)).values(**values))


async def next_due(connection: AsyncConnection) -> float | None:
    """When the next time comes."""
    query = select(schedules.c.due_at).order_by(schedules.c.due_at).limit(1)
    return (await connection.execute(query)).scalar_one_or_none()


def _is(flow: int, cron: str, zone: str) -> ColumnElement[bool]:
    return and_(schedules.c.flow == flow, schedules.c.cron == cron, schedules.c.zone == zone)
