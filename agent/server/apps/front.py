"""The front of all apps: what is asked of an app's host goes to the app, and nothing of ours is there; all else is ours.

a request to LABEL.DOMAIN
  /.flow/enter?code=...&to=/...    a link from our pages or the command line, good once: a cookie, and on to the app
  anything, with that cookie       passed on to the app (`agent.server.apps.http`, `agent.server.apps.sockets`)
  a page, without it               on to our own page of the app, where people sign in and are let in
  anything else, without it        refused
"""

import asyncio
from collections.abc import Awaitable
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.errors import AgentError, RefusedError
from agent.server.apps.http import HttpPasser, target_of
from agent.server.apps.pages import error_page, error_status, nobody_page
from agent.server.apps.sockets import closing, pass_socket_on, refuse
from agent.server.apps.visits import KnownVisits, check_sender, find_app, write_cookie
from agent.server.events.views import app_path
from agent.server.http.app_links import ENTER
from agent.server.http.rooms import Rooms
from agent.server.process.own_url import own_path

_RECHECK_SECONDS = 60.0  # after which whoever is still there is looked at again
_POLICY_VIOLATION, _TRY_AGAIN_LATER = 1008, 1013


class AppsFront:
    """Answers what is asked of apps' hosts; the rest is `app`'s, which no request to such a host ever reaches."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._visits = KnownVisits()
        self._passer = HttpPasser()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        label = _find_label(scope)
        if label is None:
            await self._app(scope, receive, send)
            return
        rooms: Rooms = scope["app"].state.rooms
        scope["shown_path"] = f"app {label}"  # what people do there is no business of our logs
        if scope["type"] == "websocket":
            await self._serve_socket(scope, receive, send, rooms, label)
        else:
            await self._serve_request(scope, receive, send, rooms, label)

    async def _serve_request(
        self, scope: Scope, receive: Receive, send: Send, rooms: Rooms, label: str
    ) -> None:
        request, has_begun = Request(scope), False

        async def note_begin(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            if scope["path"] == ENTER:
                response = await _enter(request, rooms, label)
            else:
                check_sender(request, rooms)
                visit = await self._visits.find(request, rooms, label)
                if visit is not None:
                    work = self._passer.pass_on(scope, receive, note_begin, rooms, visit)
                    await self._while_allowed(work, request, rooms, label)
                    return
                response = await _turn_away(request, rooms, label)
        except AgentError as error:
            if has_begun:
                return  # an answer without an end
            response = error_page(request, error, rooms.process.own_url)
        await response(scope, receive, send)

    async def _serve_socket(
        self, scope: Scope, receive: Receive, send: Send, rooms: Rooms, label: str
    ) -> None:
        connection, has_begun = HTTPConnection(scope), False

        async def note_begin(message: Message) -> None:
            nonlocal has_begun
            has_begun = has_begun or message["type"] == "websocket.accept"
            await send(message)

        if rooms.bus.is_closing:
            await send(closing(_TRY_AGAIN_LATER))
            return
        try:
            check_sender(connection, rooms)
            visit = await self._visits.find(connection, rooms, label)
            if visit is None:
                raise RefusedError("the app is for who was let in")
            work = pass_socket_on(scope, receive, note_begin, rooms, visit)
            await self._while_allowed(work, connection, rooms, label)
        except AgentError as error:
            code = _POLICY_VIOLATION if isinstance(error, RefusedError) else _TRY_AGAIN_LATER
            if has_begun:
                await send(closing(code, error.what))
            else:
                await refuse(send, scope, error_status(error), error.what.encode())

    async def _while_allowed(
        self, work: Awaitable[None], connection: HTTPConnection, rooms: Rooms, label: str
    ) -> None:
        """Do it for as long as its visitor may. Raises AgentError."""
        working = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({working}, timeout=_RECHECK_SECONDS))[0]:
                if await self._visits.find(connection, rooms, label) is None:
                    raise RefusedError("whoever was let in is no longer")
            working.result()
        finally:
            working.cancel()
            await asyncio.wait({working})


def _find_label(scope: Scope) -> str | None:
    if scope["type"] not in ("http", "websocket"):
        return None
    rooms: Rooms = scope["app"].state.rooms
    origin = rooms.process.apps_origin
    return None if origin is None else origin.find_label(Headers(scope=scope).get("host", ""))


async def _enter(request: Request, rooms: Rooms, label: str) -> Response:
    """Let somebody in who has a link. Raises RefusedError for one that is no good, or not any more."""
    app = await find_app(rooms, label)
    if app is None:
        return nobody_page(request, rooms.process.own_url)
    token = await rooms.people.app_visits.enter(request.query_params.get("code", ""), app.key)
    response = RedirectResponse(own_path(request.query_params.get("to", "/")), 303)
    response.headers.update({"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
    write_cookie(response, rooms, token)
    return response


async def _turn_away(request: Request, rooms: Rooms, label: str) -> Response:
    """Who has not been let in: a person with a browser to our own page, all others with a word."""
    app = await find_app(rooms, label)
    is_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    if app is None or not is_page:
        return nobody_page(request, rooms.process.own_url)
    wanted = quote(target_of(request.scope).decode("latin-1"), safe="")
    address = f"{rooms.process.own_url}{app_path(app.job, app.name)}?to={wanted}"
    return RedirectResponse(address, 303, headers={"Cache-Control": "no-store"})
