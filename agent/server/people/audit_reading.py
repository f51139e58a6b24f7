"""The audit log as it is read: who did what, newest first. It is written with each change (`agent.server.events.audit`)."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from agent.errors import UsageError
from agent.server.people import accounts
from agent.server.process.moments import Moment, time_text
from agent.server.process.paging import Page, RowId, cut, next_cursor
from agent.server.store import audit, projects
from agent.server.store.audit import AuditRow
from agent.server.store.database import Connection, Database

_Text = Annotated[str, msgspec.Meta(max_length=500)]


class AuditQuery(Page):
    """Which rows: of a user, of an action (`PUT /api/v1/secrets/{name}`), of an outcome, from a time on."""

    actor: _Text | msgspec.UnsetType = msgspec.UNSET
    action: _Text | msgspec.UnsetType = msgspec.UNSET
    outcome: Literal["done", "refused", "failed"] | msgspec.UnsetType = msgspec.UNSET
    since: datetime | msgspec.UnsetType = msgspec.UNSET


class OrganisationAuditQuery(AuditQuery):
    """The same, of one project or of all."""

    project: _Text | msgspec.UnsetType = msgspec.UNSET


class AuditEntry(msgspec.Struct):
    """What somebody did, or was refused. `actor` is a user's name; empty: a stranger, or an agent that registers."""

    id: int
    time: Moment | None
    actor: str
    token: str | None
    address: str
    action: str
    target: str
    project: str | None
    outcome: str
    detail: dict[str, Any]


class AuditReading:
    """Reads the log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_all(self, query: OrganisationAuditQuery) -> tuple[list[AuditEntry], str | None]:
        """What was done in the organisation, or in the project that the query names. Raises NotFoundError."""
        async with self._database.read() as connection:
            return await list_entries(connection, query, await _find_project(connection, query))

    async def list_of(self, project: int, query: AuditQuery) -> tuple[list[AuditEntry], str | None]:
        """What was done in one project."""
        async with self._database.read() as connection:
            return await list_entries(connection, query, project)


async def find_entries(connection: Connection, filters: Mapping[str, object], most: int) -> list[AuditEntry]:
    """The newest rows, `most` of them, that `filters` (of OrganisationAuditQuery) let through. Raises UsageError, NotFoundError."""
    try:
        query = msgspec.convert(filters, OrganisationAuditQuery, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"the log can't be filtered so: {error}") from None
    project = await _find_project(connection, query)
    return (await list_entries(connection, msgspec.structs.replace(query, limit=most), project))[0]


async def list_entries(
    connection: Connection, query: AuditQuery, project: int | None
) -> tuple[list[AuditEntry], str | None]:
    """The rows that the query asks for, of `project` (None: of all), and where the next part begins."""
    found = await audit.list_entries(
        connection,
        limit=query.limit + 1,
        before=query.after(RowId),
        since=query.since.timestamp() if query.since else None,
        project=project,
        actor=query.actor or None,
        action=query.action or None,
        outcome=query.outcome or None,
    )
    names = await projects.names(connection)
    shown = cut(found, query.limit)
    after = next_cursor(found, query.limit, shown[-1].id if shown else 0)
    return [view_entry(row, names) for row in shown], after


def view_entry(row: AuditRow, project_names: Mapping[int, str]) -> AuditEntry:
    """A row as it is shown; the project by its name."""
    return AuditEntry(
        id=row.id,
        time=time_text(row.time),
        actor=row.actor,
        token=row.token,
        address=row.address,
        action=row.action,
        target=row.target,
        project=None if row.project is None else project_names.get(row.project),
        outcome=row.outcome,
        detail=json.loads(row.detail),
    )


async def _find_project(connection: Connection, query: OrganisationAuditQuery) -> int | None:
    return (await accounts.find_project(connection, query.project)).id if query.project else None
