"""`/api/v1/users`: accounts of people and programs, and their tokens, for admins of the organisation."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError, RefusedError
from agent.server.events import audit
from agent.server.events.views import Moment, time_text
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.http.paging import LongPage, Next, Page, part
from agent.server.people import accounts
from agent.server.people.accounts import Kind
from agent.server.people.auth.access import Access, Caller, nothing_there
from agent.server.people.auth.passwords import hash_password
from agent.server.people.auth.roles import Role, read_role
from agent.server.people.auth.tokens import API
from agent.server.store import projects, tokens, users
from agent.server.store.database import Connection
from agent.server.store.tokens import TokenRow
from agent.server.store.users import UserRow

_Password = Annotated[str, msgspec.Meta(max_length=1024)]


class UserBody(msgspec.Struct, forbid_unknown_fields=True):
    """A new user."""

    name: str
    kind: Kind = "person"
    admin: bool = False
    password: _Password | None = None

    def __repr__(self) -> str:
        return f"UserBody({self.name!r})"


class UserChange(msgspec.Struct, forbid_unknown_fields=True):
    """What shall be different; what is not named stays."""

    admin: bool | None = None
    disabled: bool | None = None
    password: _Password | None = None

    def __repr__(self) -> str:
        return "UserChange(...)"


class UserTokenBody(msgspec.Struct, forbid_unknown_fields=True):
    """A token for the API: for how long, and what it is limited to. Without more it may all that its user may."""

    name: str = ""
    expires_seconds: Annotated[float, msgspec.Meta(gt=0, le=3.2e9)] | None = None
    role: str | None = None
    project: str | None = None


class UserView(msgspec.Struct, kw_only=True):
    """A user."""

    name: str
    kind: str
    admin: bool
    signs_in_by: Literal["password", "provider", "token"]
    created: Moment | None
    disabled: Moment | None


class UserDetail(UserView, kw_only=True):
    """A user with their roles by project."""

    roles: dict[str, str]


class UserList(msgspec.Struct):
    """Users by name."""

    users: list[UserView]
    next: Next


class TokenView(msgspec.Struct, kw_only=True):
    """A token for the API, without what opens; `role` and `project` are what it is limited to."""

    id: str
    name: str
    role: str | None
    project: str | None
    created: Moment | None
    expires: Moment | None
    last_used: Moment | None
    revoked: Moment | None


class NewToken(TokenView, kw_only=True):
    """A token, this once with what opens."""

    user: str
    token: str


class TokenList(msgspec.Struct):
    """Tokens, newest first."""

    tokens: list[TokenView]
    next: Next


async def list_users(call: Call) -> Response:
    """All users by name."""
    async with call.rooms.database.read() as connection:
        found = await users.list_users(connection)
    rows, after = part(found, call.query(Page), lambda row: row.name, str)
    return view_response(UserList([view_user(row) for row in rows], after))


async def create_user(call: Call) -> Response:
    """Make a user."""
    body = await call.body(UserBody)
    hashed = (
        None
        if body.password is None
        else await call.rooms.process.pools.passwords.run(hash_password, body.password)
    )
    async with call.rooms.changes.begin() as change:
        user = await accounts.create_user(
            change, body.name, kind=body.kind, is_admin=body.admin, password=hashed
        )
    return view_response(view_user(user), 201)


async def show_user(call: Call) -> Response:
    """A user with their roles."""
    async with call.rooms.database.read() as connection:
        user = await accounts.find_user(connection, call.text("user"))
        names = await projects.names(connection)
        roles = await users.roles_of(connection, user.id)
    shown = {names[project]: role for project, role in roles.items()}
    return view_response(UserDetail(**_user_fields(user), roles=shown))


async def change_user(call: Call) -> Response:
    """Make a user an admin or not, disable or enable them, set a password."""
    body = await call.body(UserChange)
    hashed = (
        None
        if body.password is None
        else await call.rooms.process.pools.passwords.run(hash_password, body.password)
    )
    async with call.rooms.changes.begin() as changing:
        user = await accounts.find_user(changing.connection, call.text("user"))
        user = await accounts.change_user(
            changing, user, is_admin=body.admin, is_disabled=body.disabled, password=hashed
        )
    return view_response(view_user(user))


async def list_tokens_of_user(call: Call) -> Response:
    """The user's tokens, without what would let anybody use them."""
    async with call.rooms.database.read() as connection:
        user = await accounts.find_user(connection, call.text("user"))
        return await list_tokens_of(call, connection, user.id)


async def create_token_of_user(call: Call) -> Response:
    """A token for another's account: a program's, say."""
    body = await call.body(UserTokenBody)
    async with call.rooms.database.read() as connection:
        user = await accounts.find_user(connection, call.text("user"))
    return await make_token(call, user, body)


async def revoke_token_of_user(call: Call) -> Response:
    """End a token of the user."""
    async with call.rooms.changes.begin() as changing:
        user = await accounts.find_user(changing.connection, call.text("user"))
        audit.note(user=user.name, token=call.text("token"))
        if not await tokens.revoke_token(changing.connection, call.text("token"), API, changing.now, user.id):
            raise NotFoundError("there is no such token, or it was revoked already")
    return empty_response()


async def list_tokens_of(call: Call, connection: Connection, user: int) -> Response:
    """The tokens of `user`."""
    names = await projects.names(connection)
    found = await tokens.list_tokens(connection, API, user)
    page, kind = call.query(LongPage), tuple[float, str]
    rows, after = part(found, page, lambda row: (row.created_at, row.id), kind, descending=True)
    return view_response(TokenList([view_token(row, names) for row in rows], after))


async def make_token(call: Call, user: UserRow, body: UserTokenBody) -> Response:
    """A token for `user`, not stronger and not longer-lived than the one that asks for it."""
    caller = call.caller
    async with call.rooms.changes.begin() as changing:
        row, token = await accounts.create_personal_token(
            changing,
            user,
            name=body.name,
            expires_seconds=_seconds(caller, body.expires_seconds, changing.now),
            role=_role(caller, body.role),
            project=await _project(changing.connection, caller, body.project),
        )
        names = await projects.names(changing.connection)
    return view_response(NewToken(**token_fields(row, names), user=user.name, token=token), 201)


def view_user(row: UserRow) -> UserView:
    """A user as it may be shown."""
    return UserView(**_user_fields(row))


def view_token(row: TokenRow, projects_by_id: Mapping[int, str]) -> TokenView:
    """A token for the API as it may be shown."""
    return TokenView(**token_fields(row, projects_by_id))


def token_fields(row: TokenRow, projects_by_id: Mapping[int, str]) -> dict[str, Any]:
    """What may be shown of a token for the API."""
    return {
        "id": row.id,
        "name": row.name,
        "role": row.role,
        "project": None if row.project is None else projects_by_id[row.project],
        "created": time_text(row.created_at),
        "expires": time_text(row.expires_at),
        "last_used": time_text(row.last_used_at),
        "revoked": time_text(row.revoked_at),
    }


def _user_fields(row: UserRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "kind": row.kind,
        "admin": row.is_admin,
        "signs_in_by": "password" if row.password else "provider" if row.subject else "token",
        "created": time_text(row.created_at),
        "disabled": time_text(row.disabled_at),
    }


def _role(caller: Caller, wanted: str | None) -> Role | None:
    role = None if wanted is None else read_role(wanted)
    return role if caller.cap is None else min(role or caller.cap, caller.cap)


def _seconds(caller: Caller, wanted: float | None, now: float) -> float | None:
    if caller.until is None:
        return wanted
    left = max(caller.until - now, 0.0)
    return left if wanted is None else min(wanted, left)


async def _project(connection: Connection, caller: Caller, wanted: str | None) -> int | None:
    if wanted is None:
        return caller.only_project
    project = await projects.find_by_name(connection, wanted)
    if project is None or caller.role_in(project.id) is None:
        raise nothing_there()
    if caller.only_project not in (None, project.id):
        raise RefusedError("this token is limited to another project", where=wanted)
    return project.id


_PATH = f"{V1}/users/{{user}}"
OPERATIONS = (
    Operation("GET", f"{V1}/users", Access.ORGANISATION, list_users, query=Page, answers={200: UserList}),
    Operation(
        "POST",
        f"{V1}/users",
        Access.ORGANISATION,
        create_user,
        body=UserBody,
        answers={201: UserView},
        problems=(409,),
    ),
    Operation("GET", _PATH, Access.ORGANISATION, show_user, answers={200: UserDetail}),
    Operation(
        "PATCH",
        _PATH,
        Access.ORGANISATION,
        change_user,
        body=UserChange,
        answers={200: UserView},
        problems=(409,),
    ),
    Operation(
        "GET",
        f"{_PATH}/tokens",
        Access.ORGANISATION,
        list_tokens_of_user,
        query=LongPage,
        answers={200: TokenList},
    ),
    Operation(
        "POST",
        f"{_PATH}/tokens",
        Access.ORGANISATION,
        create_token_of_user,
        body=UserTokenBody,
        answers={201: NewToken},
        problems=(409,),
    ),
    Operation("DELETE", f"{_PATH}/tokens/{{token}}", Access.ORGANISATION, revoke_token_of_user),
)
