"""`/login/oidc`: to the sign-in provider and back (`agent.server.people.auth.oidc`)."""

import hmac
import json
import re
import secrets

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError, RefusedError
from agent.server.events import audit
from agent.server.events.changes import Change
from agent.server.http.call import Call
from agent.server.http.operation import Operation
from agent.server.people import accounts
from agent.server.people.auth.access import Access
from agent.server.people.auth.oidc import OidcClient, OidcIdentity
from agent.server.people.auth.roles import Role
from agent.server.store import projects, users
from agent.server.store.users import UserRow
from agent.server.web.pages import HTML, own_path, redirect
from agent.server.web.sign_in import begin_session, enter

_WAY_SECONDS = 600
_COOKIE = "oidc"
_MOST_TRIES = 50
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
    async with call.rooms.changes.begin() as change:
        user = await _find_or_make(change, client.settings.issuer, identity)
        await users.replace_claimed(
            change.connection, user.id, await _claimed_roles(change, client, identity), change.now
        )
        token = await begin_session(change, call, user)
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


async def _find_or_make(change: Change, issuer: str, identity: OidcIdentity) -> UserRow:
    """The user of this account; a new one never takes over a name that is there. Raises RefusedError when disabled."""
    subject = json.dumps([issuer, identity.subject])
    user = await users.find_by_subject(change.connection, subject)
    if user is None:
        name = await _free_name(change, identity.name)
        user = await accounts.create_user(change, name, subject=subject)
    audit.say_who(user.name, user.id)
    if user.disabled_at is not None:
        raise RefusedError("this account is disabled here", hint="ask an admin of the organisation")
    return user


async def _free_name(change: Change, wanted: str) -> str:
    plain = re.sub(r"[^a-z0-9._-]+", "-", wanted.lower()).strip("._-")[:50].rstrip("._-") or "user"
    for number in range(1, _MOST_TRIES):
        name = plain if number == 1 else f"{plain}-{number}"
        if await users.find_by_name(change.connection, name) is None:
            return name
    return f"{plain}-{secrets.token_hex(4)}"


async def _claimed_roles(change: Change, client: OidcClient, identity: OidcIdentity) -> dict[int, str]:
    """What the account's groups give: in each project the highest role of any of them."""
    found: dict[int, Role] = {}
    for group in identity.groups:
        for name, role in client.settings.roles.get(group, ()):
            project = await projects.find_by_name(change.connection, name)
            if project is not None:
                found[project.id] = max(role, found.get(project.id, role))
    return {project: role.label for project, role in found.items()}


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
