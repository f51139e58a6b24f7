"""`/api/v1/registration-tokens`: what `agent register` spends."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError
from agent.server.events import audit
from agent.server.events.views import Moment, time_text
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.http.paging import Next, Page, part
from agent.server.people import accounts
from agent.server.people.auth import tokens as auth_tokens
from agent.server.people.auth.access import Access
from agent.server.people.auth.tokens import REGISTRATION
from agent.server.store import projects, tokens
from agent.server.store.database import Connection
from agent.server.store.projects import ProjectRow
from agent.server.store.tokens import TokenRow


class RegistrationTokenBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a new token may do. Without more it is good for one agent, for an hour.

    Its agents get the labels; where a group is named they are in it, where a project is, they work for no other.
    """

    name: str = ""
    uses: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = 1
    expires_seconds: Annotated[float, msgspec.Meta(ge=0, le=3.2e9)] | None = 3600.0
    labels: list[str] = []
    group: str = ""
    project: str | None = None


class RegistrationToken(msgspec.Struct, kw_only=True):
    """A token as it may be shown."""

    id: str
    name: str
    labels: list[str]
    group: str
    project: str | None
    uses_left: int | None
    created: Moment | None
    expires: Moment | None
    revoked: Moment | None


class NewRegistrationToken(RegistrationToken, kw_only=True):
    """A token, this once with what opens."""

    token: str


class RegistrationTokenList(msgspec.Struct):
    """All tokens."""

    registration_tokens: list[RegistrationToken]
    next: Next


async def create_token(call: Call) -> Response:
    """Make a token; the answer is the only place that shows it."""
    body = await call.body(RegistrationTokenBody)
    async with call.rooms.changes.begin() as change:
        project = await _find_project(change.connection, body.project)
        row, token = await auth_tokens.create_token(
            change.connection,
            REGISTRATION,
            now=change.now,
            name=body.name,
            uses=body.uses,
            expires_seconds=body.expires_seconds,
            labels=body.labels,
            group=body.group,
            user=call.caller.user,
            project=None if project is None else project.id,
        )
        audit.note(token=row.id, uses=body.uses, project=body.project, group=body.group)
    names = {} if project is None else {project.id: project.name}
    return view_response(NewRegistrationToken(**_fields(row, names), token=token), 201)


async def list_tokens(call: Call) -> Response:
    """The tokens, without what would let anybody use them."""
    async with call.rooms.database.read() as connection:
        found = await tokens.list_tokens(connection, REGISTRATION)
        names = await projects.names(connection)
    rows, after = part(found, call.query(Page), lambda row: (row.created_at, row.id), tuple[float, str])
    shown = [RegistrationToken(**_fields(row, names)) for row in rows]
    return view_response(RegistrationTokenList(shown, after))


async def revoke_token(call: Call) -> Response:
    """End a token."""
    async with call.rooms.changes.begin() as change:
        if not await tokens.revoke_token(change.connection, call.text("token"), REGISTRATION, change.now):
            raise NotFoundError("there is no such token, or it was revoked already")
    return empty_response()


async def _find_project(connection: Connection, name: str | None) -> ProjectRow | None:
    return None if name is None else await accounts.find_project(connection, name)


def _fields(row: TokenRow, project_names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "labels": json.loads(row.labels),
        "group": row.group_name,
        "project": None if row.project is None else project_names[row.project],
        "uses_left": row.uses_left,
        "created": time_text(row.created_at),
        "expires": time_text(row.expires_at),
        "revoked": time_text(row.revoked_at),
    }


_PATH = f"{V1}/registration-tokens"
OPERATIONS = (
    Operation(
        "POST",
        _PATH,
        Access.ORGANISATION,
        create_token,
        body=RegistrationTokenBody,
        answers={201: NewRegistrationToken},
        problems=(404,),
    ),
    Operation(
        "GET", _PATH, Access.ORGANISATION, list_tokens, query=Page, answers={200: RegistrationTokenList}
    ),
    Operation("DELETE", f"{_PATH}/{{token}}", Access.ORGANISATION, revoke_token),
)
