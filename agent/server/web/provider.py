"""`/login/oidc`: to the sign-in provider and back (`agent.server.people.auth.oidc`)."""

import hmac
import secrets

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError, RefusedError
from agent.server.events import audit
from agent.server.http.call import Call
from agent.server.http.operation import Operation
from agent.server.people.auth.access import Access
from agent.server.people.auth.oidc import OidcClient
from agent.server.process.own_url import own_path
from agent.server.web.pages import HTML, redirect
from agent.server.web.sign_in import enter

_WAY_SECONDS = 600
_COOKIE = "oidc"
CALLBACK = "/login/oidc/callback"


class BeginQuery(msgspec.Struct):
    """Where to go after signing in."""

    next: str = "/"


class CallbackQuery(msgspec.Struct):
    """What the provider's answer carries; providers add more."""

    code: str = ""
    state: str = ""
    error: str = ""
    iss: str = ""


class _Way(msgspec.Struct):
    """One sign-in under way, kept in the browser's cookie."""

    state: str
    nonce: str
    verifier: str
    next: str


async def begin(call: Call) -> Response:
    """Send the browser to the provider."""
    way = _Way(
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(32),
        next=own_path(call.query(BeginQuery).next),
    )
    url = await _client(call).authorization_url(
        redirect_uri=_redirect_uri(call), state=way.state, nonce=way.nonce, verifier=way.verifier
    )
    response = redirect(url)
    kept = msgspec.json.encode(way).hex()
    call.rooms.people.sessions.write(call.request, response, kept, name=_COOKIE, seconds=_WAY_SECONDS)
    return response


async def finish(call: Call) -> Response:
    """The browser is back: who is it?"""
    query, way = call.query(CallbackQuery), _read_way(call)
    if way is None or not hmac.compare_digest(way.state.encode(), query.state.encode()):
        raise RefusedError("this sign-in was not begun in this browser, or too long ago", hint="begin again")
    client = _client(call)
    audit.note(provider=client.settings.issuer)
    if query.iss not in ("", client.settings.issuer):
        raise RefusedError("the answer is another provider's")  # RFC 9207: mix-up
    if query.error or not query.code:
        raise RefusedError("the provider did not let you in", hint="begin again")
    identity = await client.redeem(
        query.code, redirect_uri=_redirect_uri(call), nonce=way.nonce, verifier=way.verifier
    )
    people = call.rooms.people
    older = people.sessions.read(call.request)
    token = await people.browser_sessions.begin_provided(client.settings, identity, older)
    response = enter(call, token, way.next)
    call.rooms.people.sessions.forget(call.request, response, _COOKIE)
    return response


def _client(call: Call) -> OidcClient:
    if call.rooms.people.oidc is None:
        raise NotFoundError("this server has no sign-in provider")
    return call.rooms.people.oidc


def _redirect_uri(call: Call) -> str:
    return f"{call.base_url}{CALLBACK}"


def _read_way(call: Call) -> _Way | None:
    try:
        return msgspec.json.decode(
            bytes.fromhex(call.rooms.people.sessions.read(call.request, _COOKIE)), type=_Way
        )
    except (ValueError, msgspec.DecodeError):
        return None


OPERATIONS = (
    Operation(
        "GET",
        "/login/oidc",
        Access.SIGN_IN,
        begin,
        query=BeginQuery,
        answers={303: HTML},
        documented=False,
        is_page=True,
    ),
    Operation(
        "GET",
        CALLBACK,
        Access.SIGN_IN,
        finish,
        query=CallbackQuery,
        answers={303: HTML},
        documented=False,
        is_page=True,
    ),
)
