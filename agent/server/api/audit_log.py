"""`/api/v1/audit`: who did what, newest first."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from starlette.responses import Response

from agent.errors import UsageError
from agent.server.events.views import Moment, time_text
from agent.server.http.call import Call, view_response
from agent.server.http.operation import V1, Operation
from agent.server.http.paging import Next, Page, RowId, cut, next_cursor
from agent.server.people import accounts
from agent.server.people.auth.access import Access
from agent.server.store import audit, projects
from agent.server.store.audit import AuditRow
from agent.server.store.database import Connection

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


class AuditList(msgspec.Struct):
    """Rows, newest first."""

    entries: list[AuditEntry]
    next: Next


async def list_audit(call: Call) -> Response:
    """What was done in the organisation, or in the project that the query names."""
    query = call.query(OrganisationAuditQuery)
    project = None
    if query.project:
        async with call.rooms.database.read() as connection:
            project = (await accounts.find_project(connection, query.project)).id
    return await _list(call, query, project)


async def list_audit_of_project(call: Call) -> Response:
    """What was done in one project."""
    return await _list(call, call.query(AuditQuery), call.project.id)


async def _list(call: Call, query: AuditQuery, project: int | None) -> Response:
    async with call.rooms.database.read() as connection:
        found = await _find(connection, query, project)
        names = await projects.names(connection)
    shown = cut(found, query.limit)
    after = next_cursor(found, query.limit, shown[-1].id if shown else 0)
    return view_response(AuditList([view_entry(row, names) for row in shown], after))


async def find_entries(connection: Connection, filters: Mapping[str, object], most: int) -> list[AuditEntry]:
    """The newest rows, `most` of them, that `filters` (of OrganisationAuditQuery) let through. Raises UsageError, NotFoundError."""
    try:
        query = msgspec.convert(filters, OrganisationAuditQuery, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"the log can't be filtered so: {error}") from None
    project = (await accounts.find_project(connection, query.project)).id if query.project else None
    names = await projects.names(connection)
    rows = await _find(connection, msgspec.structs.replace(query, limit=most), project)
    return [view_entry(row, names) for row in cut(rows, most)]


async def _find(connection: Connection, query: AuditQuery, project: int | None) -> list[AuditRow]:
    return await audit.list_entries(
        connection,
        limit=query.limit + 1,
        before=query.after(RowId),
        since=query.since.timestamp() if query.since else None,
        project=project,
        actor=query.actor or None,
        action=query.action or None,
        outcome=query.outcome or None,
    )


def view_entry(row: AuditRow, project_names: dict[int, str]) -> AuditEntry:
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


OPERATIONS = (
    Operation(
        "GET",
        f"{V1}/audit",
        Access.ORGANISATION,
        list_audit,
        query=OrganisationAuditQuery,
        answers={200: AuditList},
        problems=(404,),
    ),
    Operation(
        "GET",
        f"{V1}/projects/{{project}}/audit",
        Access.ADMIN,
        list_audit_of_project,
        query=AuditQuery,
        answers={200: AuditList},
    ),
)
