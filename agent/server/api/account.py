"""`/api/v1/user`: the caller's own account; `/api/v1/login`: a token for a name and a password."""

from typing import Annotated

import msgspec
from starlette.responses import Response

from agent.errors import RefusedError
from agent.server.api.users import TokenList, UserTokenBody
from agent.server.http.admission import address_of
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.people.personal_tokens import NewToken
from agent.server.process.paging import LongPage

_Password = Annotated[str, msgspec.Meta(max_length=1024)]
_LOGIN_TOKEN_SECONDS = 90 * 86400.0


class SignInBody(msgspec.Struct, forbid_unknown_fields=True):
    """A name and a password, and what the token that they open is called."""

    user: str
    password: _Password
    name: str = "agent login"
    expires_seconds: Annotated[float, msgspec.Meta(gt=0, le=3.2e9)] = _LOGIN_TOKEN_SECONDS

    def __repr__(self) -> str:
        return "SignInBody(...)"


class PasswordBody(msgspec.Struct, forbid_unknown_fields=True):
    """The password as it is, when there is one, and as it shall be."""

    new: _Password
    current: _Password = ""

    def __repr__(self) -> str:
        return "PasswordBody(...)"


class AccountView(msgspec.Struct):
    """Who the caller is: `roles` by project, as far as the token that was shown reaches; `token` is its id."""

    name: str
    kind: str
    admin: bool
    roles: dict[str, str]
    token: str


async def sign_in(call: Call) -> Response:
    """A personal token for a name and a password; it ends after 90 days when nothing else is said."""
    body, people = await call.body(SignInBody), call.rooms.people
    user = await people.sign_in.by_password(body.user, body.password, address_of(call.request))
    made = await people.personal_tokens.make_for(user, name=body.name, expires_seconds=body.expires_seconds)
    return view_response(made, 201)


async def show_account(call: Call) -> Response:
    """Who the caller is, and what they may do where."""
    caller, people = call.caller, call.rooms.people
    user = await people.users.find(caller.user or 0)
    return view_response(
        AccountView(
            name=user.name,
            kind=user.kind,
            admin=caller.is_organisation_admin,
            roles=await people.projects.list_roles(caller),
            token=caller.token,
        )
    )


async def change_password(call: Call) -> Response:
    """Change one's own password; all browsers are signed out. A token that is limited may not."""
    body, people = await call.body(PasswordBody), call.rooms.people
    if call.caller.is_limited:
        raise RefusedError(
            "a limited token changes no password", hint="sign in, or use a token without limits"
        )
    user = await people.users.find(call.caller.user or 0)
    if user.password is not None:
        address, known = address_of(call.request), f"token {call.caller.token}"
        await people.sign_in.by_password(user.name, body.current, address, known=known)
    await people.users.set_password(user, body.new)
    return empty_response()


async def list_own_tokens(call: Call) -> Response:
    """The caller's own tokens, without what would let anybody use them."""
    tokens = call.rooms.people.personal_tokens
    return view_response(TokenList(*await tokens.list_of(call.caller.user or 0, call.query(LongPage))))


async def create_own_token(call: Call) -> Response:
    """A token of one's own; one that is made with a limited token is limited likewise."""
    body = await call.body(UserTokenBody)
    tokens = call.rooms.people.personal_tokens
    return view_response(await tokens.make(call.caller.user or 0, body.limits, call.caller), 201)


async def revoke_own_token(call: Call) -> Response:
    """End one of one's own tokens."""
    await call.rooms.people.personal_tokens.revoke_own(call.caller, call.text("token"))
    return empty_response()


_PATH = f"{V1}/user"
OPERATIONS = (
    Operation(
        "POST",
        f"{V1}/login",
        Access.SIGN_IN,
        sign_in,
        body=SignInBody,
        answers={201: NewToken},
        problems=(401,),
    ),
    Operation("GET", _PATH, Access.MEMBER, show_account, answers={200: AccountView}),
    Operation("PUT", f"{_PATH}/password", Access.MEMBER, change_password, body=PasswordBody),
    Operation(
        "GET", f"{_PATH}/tokens", Access.MEMBER, list_own_tokens, query=LongPage, answers={200: TokenList}
    ),
    Operation(
        "POST",
        f"{_PATH}/tokens",
        Access.MEMBER,
        create_own_token,
        body=UserTokenBody,
        answers={201: NewToken},
        problems=(404,),
    ),
    Operation("DELETE", f"{_PATH}/tokens/{{token}}", Access.MEMBER, revoke_own_token),
)
