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
from agent.server.access_log import REQUEST_ID, AccessLog
from agent.server.api.routes import OPERATIONS, make_routes
from agent.server.counted import CountedBehindProxies
from agent.server.data_folder import DataFolder
from agent.server.live import SharedBus
from agent.server.openapi import make_document
from agent.server.problems import problem_response
from agent.server.proxies import BehindProxies
from agent.server.rotation import move_to_current_key
from agent.server.services import Services, open_services
from agent.server.settings import ServerSettings
from agent.server.store import jobs
from agent.server.web.pages import error_page, wants_page

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
            app.state.services = services
            await recover(services)
            await services.fleet.join(settings.peer_url or f"http://{settings.listen}")
            loops = [asyncio.create_task(loop) for loop in _loops(services)]
            on_started(services)
            try:
                yield
            finally:
                services.bus.close()
                for loop in loops:
                    loop.cancel()
                    with suppress(asyncio.CancelledError):
                        await loop
                await services.fleet.leave()

    app = Starlette(
        routes=make_routes(),
        middleware=[
            Middleware(BehindProxies, proxies=settings.proxies),
            Middleware(AccessLog),
            Middleware(CountedBehindProxies),
        ],
        exception_handlers={HTTPException: _on_http_error, Exception: _on_bug},
        lifespan=live,
    )
    app.state.document = msgspec.json.encode(make_document(OPERATIONS))
    app.router.redirect_slashes = False  # the table is the whole truth: no path is answered that is not in it
    return app


def _loops(services: Services) -> Iterator[Coroutine[None, None, None]]:
    """What runs for as long as the server does."""

    def let_go() -> None:
        services.hub.reject_all("shutting_down", "the servers have lost sight of each other; come back")

    yield services.dispatcher.run()
    yield services.observer.run()
    yield services.timers.run()
    yield services.group_keeper.run()
    yield services.triggers.worker.run()
    yield services.archiver.run()
    yield services.retention.run()
    yield services.fleet.run(let_go)
    yield services.pulse.run()
    if isinstance(services.bus, SharedBus):
        yield services.bus.run(services.database.where)


async def recover(services: Services) -> None:
    """Make good what a crash may have left: torn journal tails, records not yet in rows; and follow a new master key."""
    async with services.database.read() as connection:
        active = await jobs.list_active(connection)
    await move_to_current_key(services.database, services.folder.master_key)
    for row in active:
        await services.journals.cut_tail(row.id, row.lease, row.journal_applied)
        (durable,) = await services.journals.sync([(row.id, row.lease)])
        await services.ledger.apply(row.id, row.lease, durable)


async def _on_http_error(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses: paths and verbs that no route has."""
    assert isinstance(error, HTTPException)
    if wants_page(request):
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
