"""`/api/v1/projects/NAME/members`: who has which role."""

import msgspec
from starlette.responses import Response

from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.people.members import MemberView
from agent.server.process.paging import LongPage, Next


class RoleBody(msgspec.Struct, forbid_unknown_fields=True):
    """The role that a member shall have."""

    role: str


class MemberList(msgspec.Struct):
    """Members by name."""

    members: list[MemberView]
    next: Next


async def list_members(call: Call) -> Response:
    """The members by name. Admins of the organisation have all rights without being members."""
    members = call.rooms.people.members
    return view_response(MemberList(*await members.list_of(call.project, call.query(LongPage))))


async def put_member(call: Call) -> Response:
    """Give a user a role."""
    body = await call.body(RoleBody)
    name = await call.rooms.people.members.set_role(call.project, call.text("user"), body.role)
    return view_response(MemberView(name, body.role, "set"))


async def remove_member(call: Call) -> Response:
    """Take a user's role away."""
    await call.rooms.people.members.set_role(call.project, call.text("user"), None)
    return empty_response()


_PATH = f"{V1}/projects/{{project}}/members"
OPERATIONS = (
    Operation("GET", _PATH, Access.VIEWER, list_members, query=LongPage, answers={200: MemberList}),
    Operation("PUT", f"{_PATH}/{{user}}", Access.ADMIN, put_member, body=RoleBody, answers={200: MemberView}),
    Operation("DELETE", f"{_PATH}/{{user}}", Access.ADMIN, remove_member),
)
