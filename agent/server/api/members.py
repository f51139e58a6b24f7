"""`/api/v1/projects/NAME/members`: who has which role."""

import msgspec
from starlette.responses import Response

from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.http.paging import LongPage, Next, part
from agent.server.people import accounts
from agent.server.people.auth.access import Access
from agent.server.store import users


class RoleBody(msgspec.Struct, forbid_unknown_fields=True):
    """The role that a member shall have."""

    role: str


class MemberView(msgspec.Struct):
    """A member; `origin` is `set` (by a person) or `claim` (by the sign-in provider)."""

    name: str
    role: str
    origin: str


class MemberList(msgspec.Struct):
    """Members by name."""

    members: list[MemberView]
    next: Next


async def list_members(call: Call) -> Response:
    """The members by name. Admins of the organisation have all rights without being members."""
    async with call.rooms.database.read() as connection:
        found = await users.list_members(connection, call.project.id)
    rows, after = part(found, call.query(LongPage), lambda row: row.name, str)
    return view_response(MemberList([MemberView(row.name, row.role, row.origin) for row in rows], after))


async def put_member(call: Call) -> Response:
    """Give a user a role."""
    body = await call.body(RoleBody)
    async with call.rooms.changes.begin() as change:
        user = await accounts.find_user(change.connection, call.text("user"))
        await accounts.set_role(change, user, call.project, body.role)
    return view_response(MemberView(user.name, body.role, "set"))


async def remove_member(call: Call) -> Response:
    """Take a user's role away."""
    async with call.rooms.changes.begin() as change:
        user = await accounts.find_user(change.connection, call.text("user"))
        await accounts.set_role(change, user, call.project, None)
    return empty_response()


_PATH = f"{V1}/projects/{{project}}/members"
OPERATIONS = (
    Operation("GET", _PATH, Access.VIEWER, list_members, query=LongPage, answers={200: MemberList}),
    Operation("PUT", f"{_PATH}/{{user}}", Access.ADMIN, put_member, body=RoleBody, answers={200: MemberView}),
    Operation("DELETE", f"{_PATH}/{{user}}", Access.ADMIN, remove_member),
)
