"""The server as an ASGI application: its routes, its life, and what happens to errors."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from agent.clock import Clock, SystemClock
from agent.server.apps.front import AppsFront
from agent.server.events.live import SharedBus
from agent.server.http.openapi import make_document
from agent.server.http.proxied_clients import CountedBehindProxies
from agent.server.http.proxies import BehindProxies
from agent.server.http.rooms import Rooms
from agent.server.process.access_log import REQUEST_ID, AccessLog
from agent.server.process.data_folder import DataFolder
from agent.server.process.problems import problem_response
from agent.server.rotation import move_to_current_key
from agent.server.routes import OPERATIONS, make_routes
from agent.server.services import Services, open_services
from agent.server.settings import ServerSettings
from agent.server.store import jobs
from agent.server.web.pages import error_page, redirect, wants_page

log = logging.getLogger("agent.server")
_NO_PAGE = {404: "There is nothing at this address.", 405: "This address is for programs."}


def make_app(
    settings: ServerSettings,
    folder: DataFolder,
    *,
    clock: Clock | None = None,
    on_started: Callable[[Services], None] = lambda _: None,
) -> Starlette:
    """The application over an opened data folder; `on_started` is called when it is about to serve."""

    @asynccontextmanager
    async def live(app: Starlette) -> AsyncIterator[None]:
        async with open_services(settings, folder, clock or SystemClock()) as services:
            app.state.rooms = rooms = services.rooms
            app.state.metrics = rooms.process.metrics
            await recover(rooms)
            await rooms.agents.peers.join(settings.peer_url or f"http://{settings.listen}")
            loops = [asyncio.create_task(loop) for loop in _loops(services)]
            on_started(services)
            try:
                yield
            finally:
                rooms.bus.close()
                for loop in loops:
                    loop.cancel()
                    with suppress(asyncio.CancelledError):
                        await loop
                await rooms.agents.peers.leave()

    app = Starlette(
        routes=make_routes(),
        middleware=[
            Middleware(BehindProxies, proxies=settings.proxies),
            Middleware(AccessLog),
            Middleware(CountedBehindProxies),
            Middleware(AppsFront),
        ],
        exception_handlers={HTTPException: _on_http_error, Exception: _on_bug},
        lifespan=live,
    )
    app.state.public_url = settings.public_url
    app.state.document = msgspec.json.encode(make_document(OPERATIONS))
    app.router.redirect_slashes = False  # the table is the whole truth: no path is answered that is not in it
    return app


def _loops(services: Services) -> Iterator[Coroutine[None, None, None]]:
    """What runs for as long as the server does."""
    rooms = services.rooms

    def let_go() -> None:
        rooms.agents.hub.reject_all("shutting_down", "the servers have lost sight of each other; come back")

    yield services.dispatcher.run()
    yield services.telemetry.run()
    yield services.timers.run()
    yield services.group_keeper.run()
    yield rooms.triggers.worker.run()
    yield rooms.streams.keeper.run()
    yield services.archiver.run()
    yield rooms.data.retention.run()
    yield rooms.agents.peers.run(let_go)
    yield rooms.agents.heartbeats.run()
    if isinstance(rooms.bus, SharedBus):
        yield rooms.bus.run(rooms.database.where)


async def recover(rooms: Rooms) -> None:
    """Make good what a crash may have left: torn journal tails, records not yet in rows; and follow a new master key."""
    async with rooms.database.read() as connection:
        active = await jobs.list_active(connection)
    await move_to_current_key(rooms.database, rooms.process.folder.master_key)
    for row in active:
        await rooms.data.journals.cut_tail(row.id, row.lease, row.journal_applied)
        (durable,) = await rooms.data.journals.sync([(row.id, row.lease)])
        await rooms.agents.job_records.apply(row.id, row.lease, durable)


async def _on_http_error(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses: paths and verbs that no route has."""
    assert isinstance(error, HTTPException)
    if wants_page(request):
        if (
            error.status_code == 404
            and request.url.path.startswith("/status/")
            and request.url.path.endswith("/")
        ):
            return redirect(request.url.path.rstrip("/"))
        return error_page(
            error.status_code, _NO_PAGE.get(error.status_code, error.detail), headers=error.headers
        )
    hints = {404: "/api/v1/openapi.json lists all paths", 405: "see the header Allow"}
    hint = hints.get(error.status_code, "")
    return problem_response(error.status_code, error.detail, hint, headers=error.headers)


async def _on_bug(request: Request, _error: Exception) -> Response:
    """A bug of ours: uvicorn logs its traceback, the caller learns that there is one and what to look for."""
    request_id = str(request.scope.get("request_id", ""))
    headers = {REQUEST_ID: request_id}
    what = "the server has a bug; its log says more"
    if wants_page(request):
        return error_page(500, what, request_id=request_id, headers=headers)
    return problem_response(500, what, request_id=request_id, headers=headers)
