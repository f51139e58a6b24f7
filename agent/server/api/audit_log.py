"""`/api/v1/audit`: who did what, newest first."""

import msgspec
from starlette.responses import Response

from agent.server.http.call import Call, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.audit_reading import AuditEntry, AuditQuery, OrganisationAuditQuery
from agent.server.people.auth.access import Access
from agent.server.process.paging import Next


class AuditList(msgspec.Struct):
    """Rows, newest first."""

    entries: list[AuditEntry]
    next: Next


async def list_audit(call: Call) -> Response:
    """What was done in the organisation, or in the project that the query names."""
    audit = call.rooms.people.audit
    return view_response(AuditList(*await audit.list_all(call.query(OrganisationAuditQuery))))


async def list_audit_of_project(call: Call) -> Response:
    """What was done in one project."""
    audit = call.rooms.people.audit
    return view_response(AuditList(*await audit.list_of(call.project.id, call.query(AuditQuery))))


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
