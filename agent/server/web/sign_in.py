"""`/login`, `/logout` and `/account`: signing in by browser, out again, and one's own tokens."""

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from agent.errors import AgentError, RefusedError, UsageError
from agent.seal.tokens import hash_token
from agent.server.events import audit
from agent.server.events.changes import Change
from agent.server.events.views import shown_time
from agent.server.http.admission import address_of
from agent.server.http.call import Call, Handler
from agent.server.http.forms import read_form
from agent.server.http.operation import Operation
from agent.server.people import accounts
from agent.server.people.auth.access import Access
from agent.server.people.auth.sessions import CSRF_FIELD, SESSION_SECONDS, check_origin
from agent.server.people.auth.tokens import API, SESSION, create_token, is_token
from agent.server.process.problems import TooManyError, UnauthorizedError
from agent.server.store import projects, tokens, users
from agent.server.store.tokens import TokenRow
from agent.server.store.users import UserRow
from agent.server.web.pages import HTML, own_path, redirect, render

_DAY_SECONDS = 86400.0
_MOST_DAYS = 3650


class NextQuery(msgspec.Struct):
    """Where to go after signing in; other parameters are for the eyes of the browser only."""

    next: str = "/"


async def show_sign_in(call: Call) -> Response:
    """The page to sign in."""
    return _form(call, call.query(NextQuery).next)


async def sign_in(call: Call) -> Response:
    """Sign a browser in by name and password, or by a personal token: always with a fresh session."""
    form = await read_form(call.request)
    check_origin(call.request)
    call.rooms.people.sessions.check_csrf(
        call.rooms.people.sessions.read(call.request, "form"), form.get(CSRF_FIELD, "")
    )
    name, secret, address = form.get("user", ""), form.get("password", ""), address_of(call.request)
    by_token: TokenRow | None = None
    try:
        if is_token(API, secret):
            user, by_token = await call.rooms.people.sign_in.by_token(secret)
        else:
            known = call.rooms.people.sessions.find_known(call.request, name)
            user = await call.rooms.people.sign_in.by_password(name, secret, address, known=known)
    except (UnauthorizedError, TooManyError) as error:
        return _form(call, form.get("next", "/"), error, name)
    async with call.rooms.changes.begin() as change:
        token = await begin_session(change, call, user, by_token)
    response = enter(call, token, form.get("next", "/"))
    if user.password is not None:
        call.rooms.people.sessions.know(call.request, response, user.name)
    return response


async def sign_out(call: Call) -> Response:
    """End the session, here and on the server."""
    async with call.rooms.changes.begin() as change:
        await tokens.revoke_token(change.connection, call.caller.token, SESSION, change.now, call.caller.user)
    response = redirect("/login")
    call.rooms.people.sessions.forget(call.request, response)
    return response


async def show_account(call: Call) -> Response:
    """Who is signed in, and their tokens."""
    return await _account(call)


async def make_token(call: Call) -> Response:
    """A token of one's own, shown once."""
    form = await read_form(call.request)
    days = form.get("days", "90")
    if not (days.isascii() and days.isdigit() and 1 <= int(days[:6]) <= _MOST_DAYS):
        raise UsageError("that is no number of days", where="days")
    async with call.rooms.changes.begin() as change:
        user = await users.find_user(change.connection, call.caller.user or 0)
        if user is None or call.caller.is_limited:
            raise RefusedError("tokens are made here by people who are signed in; programs use the API")
        _, token = await accounts.create_personal_token(
            change, user, name=form.get("name", ""), expires_seconds=int(days) * _DAY_SECONDS
        )
    return await _account(call, token)


async def end_token(call: Call) -> Response:
    """End a token of one's own."""
    async with call.rooms.changes.begin() as change:
        audit.note(token=call.text("token"))
        await tokens.revoke_token(change.connection, call.text("token"), API, change.now, call.caller.user)
    return redirect("/account")


async def begin_session(change: Change, call: Call, user: UserRow, by: TokenRow | None = None) -> str:
    """A fresh session for `user`; the one that the browser had, whosever it was, is over.

    One that was begun `by` a personal token may do what the token may, and ends with it.
    """
    older = call.rooms.people.sessions.read(call.request)
    if older:
        await tokens.revoke_hash(change.connection, hash_token(older), SESSION, change.now)
    _, token = await create_token(
        change.connection,
        SESSION,
        now=change.now,
        name="browser",
        expires_seconds=_lifetime(by, change.now),
        user=user.id,
        role=by.role if by else None,
        project=by.project if by else None,
        parent=by.id if by else None,
    )
    return token


def _lifetime(by: TokenRow | None, now: float) -> float:
    """How long a session lasts, in seconds."""
    until = None if by is None else by.expires_at
    return SESSION_SECONDS if until is None else min(SESSION_SECONDS, until - now)


def enter(call: Call, token: str, wanted: str) -> Response:
    """Hand the browser its session, and go where it wanted to go."""
    response = redirect(own_path(wanted))
    call.rooms.people.sessions.write(call.request, response, token, seconds=SESSION_SECONDS)
    call.rooms.people.sessions.forget(call.request, response, "form")
    return response


def _form(call: Call, wanted: str, error: AgentError | None = None, name: str = "") -> Response:
    status = 200 if error is None else 429 if isinstance(error, TooManyError) else 401
    kept = Response()
    csrf = call.rooms.people.sessions.begin_form(call.request, kept)
    response = render(
        call,
        "sign_in.html",
        status,
        error=str(error.what) if error else "",
        form_csrf=csrf,
        next=own_path(wanted),
        name=name,
        provider=call.rooms.people.oidc.settings.name if call.rooms.people.oidc else "",
    )
    response.headers["set-cookie"] = kept.headers["set-cookie"]
    return response


async def _account(call: Call, new_token: str = "") -> Response:
    async with call.rooms.database.read() as connection:
        names = await projects.names(connection)
        rows = await tokens.list_tokens(connection, API, call.caller.user)
    roles = [(name, call.caller.role_in(project)) for project, name in names.items()]
    now = call.rooms.clock.now()
    return render(
        call,
        "account.html",
        is_admin=call.caller.is_organisation_admin,
        roles=sorted((name, role.label) for name, role in roles if role is not None),
        tokens=[_shown(row, names) for row in rows if not row.is_over(now)],
        new_token=new_token,
    )


def _shown(row: TokenRow, names: Mapping[int, str]) -> dict[str, str | None]:
    return {
        "id": row.id,
        "name": row.name,
        "role": row.role,
        "project": None if row.project is None else names[row.project],
        "expires": None if row.expires_at is None else shown_time(row.expires_at),
        "last_used": None if row.last_used_at is None else shown_time(row.last_used_at),
    }


def _page(
    verb: str, path: str, access: Access, handler: Handler, query: type[msgspec.Struct] | None
) -> Operation:
    return Operation(
        verb, path, access, handler, query=query, answers={200: HTML}, documented=False, is_page=True
    )


OPERATIONS = (
    _page("GET", "/login", Access.PUBLIC, show_sign_in, NextQuery),
    _page("POST", "/login", Access.SIGN_IN, sign_in, None),
    _page("POST", "/logout", Access.MEMBER, sign_out, None),
    _page("GET", "/account", Access.MEMBER, show_account, None),
    _page("POST", "/account/tokens", Access.MEMBER, make_token, None),
    _page("POST", "/account/tokens/{token}/revoke", Access.MEMBER, end_token, None),
)
