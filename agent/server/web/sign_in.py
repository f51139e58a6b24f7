"""`/login`, `/logout` and `/account`: signing in by browser, out again, and one's own tokens."""

from contextlib import suppress

import msgspec
from starlette.responses import Response

from agent.errors import AgentError, NotFoundError, UsageError
from agent.server.http.admission import address_of
from agent.server.http.call import Call, Handler
from agent.server.http.forms import read_form
from agent.server.http.operation import Operation
from agent.server.people.auth.access import Access
from agent.server.people.auth.sessions import CSRF_FIELD, SESSION_SECONDS, check_origin
from agent.server.people.auth.tokens import API, is_token
from agent.server.people.personal_tokens import TokenView
from agent.server.process.moments import shown_moment
from agent.server.process.own_url import own_path
from agent.server.process.problems import TooManyError, UnauthorizedError
from agent.server.web.pages import HTML, redirect, render

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
    people, by_token = call.rooms.people, None
    try:
        if is_token(API, secret):
            user, by_token = await people.sign_in.by_token(secret)
        else:
            known = people.sessions.find_known(call.request, name)
            user = await people.sign_in.by_password(name, secret, address, known=known)
    except (UnauthorizedError, TooManyError) as error:
        return _form(call, form.get("next", "/"), error, name)
    token = await people.browser_sessions.begin(user, people.sessions.read(call.request), by_token)
    response = enter(call, token, form.get("next", "/"))
    if user.password is not None:
        people.sessions.know(call.request, response, user.name)
    return response


async def sign_out(call: Call) -> Response:
    """End the session, here and on the server."""
    await call.rooms.people.browser_sessions.end(call.caller)
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
    token = await call.rooms.people.personal_tokens.make_in_browser(
        call.caller, name=form.get("name", ""), expires_seconds=int(days) * _DAY_SECONDS
    )
    return await _account(call, token)


async def end_token(call: Call) -> Response:
    """End a token of one's own."""
    with suppress(NotFoundError):  # it was ended in another window: that is what was wanted
        await call.rooms.people.personal_tokens.revoke_own(call.caller, call.text("token"))
    return redirect("/account")


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
    people = call.rooms.people
    return render(
        call,
        "account.html",
        is_admin=call.caller.is_organisation_admin,
        roles=sorted((await people.projects.list_roles(call.caller)).items()),
        tokens=[_shown(token) for token in await people.personal_tokens.list_good(call.caller.user or 0)],
        new_token=new_token,
    )


def _shown(token: TokenView) -> dict[str, str | None]:
    return {
        "id": token.id,
        "name": token.name,
        "role": token.role,
        "project": token.project,
        "expires": token.expires and shown_moment(token.expires),
        "last_used": token.last_used and shown_moment(token.last_used),
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
