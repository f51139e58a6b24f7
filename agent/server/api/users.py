"""`/api/v1/users`: accounts of people and programs, and their tokens, for admins of the organisation."""

from typing import Annotated

import msgspec
from starlette.responses import Response

from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.accounts import Kind
from agent.server.people.auth.access import Access
from agent.server.people.personal_tokens import NewToken, TokenLimits, TokenView
from agent.server.people.users import UserDetail, UserView
from agent.server.process.paging import LongPage, Next, Page

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

    @property
    def limits(self) -> TokenLimits:
        """What is asked for."""
        return TokenLimits(self.name, self.expires_seconds, self.role, self.project)


class UserList(msgspec.Struct):
    """Users by name."""

    users: list[UserView]
    next: Next


class TokenList(msgspec.Struct):
    """Tokens, newest first."""

    tokens: list[TokenView]
    next: Next


async def list_users(call: Call) -> Response:
    """All users by name."""
    return view_response(UserList(*await call.rooms.people.users.list_users(call.query(Page))))


async def create_user(call: Call) -> Response:
    """Make a user."""
    body = await call.body(UserBody)
    made = await call.rooms.people.users.create(
        body.name, kind=body.kind, is_admin=body.admin, password=body.password
    )
    return view_response(made, 201)


async def show_user(call: Call) -> Response:
    """A user with their roles."""
    return view_response(await call.rooms.people.users.show(call.text("user")))


async def change_user(call: Call) -> Response:
    """Make a user an admin or not, disable or enable them, set a password."""
    body = await call.body(UserChange)
    changed = await call.rooms.people.users.change(
        call.text("user"), is_admin=body.admin, is_disabled=body.disabled, password=body.password
    )
    return view_response(changed)


async def list_tokens_of_user(call: Call) -> Response:
    """The user's tokens, without what would let anybody use them."""
    tokens = call.rooms.people.personal_tokens
    return view_response(TokenList(*await tokens.list_of(call.text("user"), call.query(LongPage))))


async def create_token_of_user(call: Call) -> Response:
    """A token for another's account: a program's, say."""
    body = await call.body(UserTokenBody)
    tokens = call.rooms.people.personal_tokens
    return view_response(await tokens.make(call.text("user"), body.limits, call.caller), 201)


async def revoke_token_of_user(call: Call) -> Response:
    """End a token of the user."""
    await call.rooms.people.personal_tokens.revoke(call.text("user"), call.text("token"))
    return empty_response()


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
