"""The access log: verb, path, status, time, and an id for each request. Never the query, never a header."""

import logging
import secrets
from time import perf_counter

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.server.process.logs import begin_request

log = logging.getLogger("agent.server.access")

REQUEST_ID = "X-Request-ID"
_ID_BYTES = 8
_HUNG_UP = 499  # nginx's number for a client that was gone before its answer


class AccessLog:
    """Logs each answer of `app`, and counts it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and log the status that goes out."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = perf_counter()
        status = 500
        request_id = scope["request_id"] = secrets.token_hex(_ID_BYTES)
        begin_request(request_id)

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (REQUEST_ID.lower().encode(), request_id.encode()),
                ]
            await send(message)

        try:
            await self._app(scope, receive, note_status)
        except ClientDisconnect:  # nobody is left to be told anything, and it is no fault of the server's
            status = _HUNG_UP
            log.debug("%s %r: the client has hung up", scope["method"], scope["path"])
        finally:
            seconds = perf_counter() - start
            path = scope.get("shown_path", scope["path"])  # a job may have put a secret into it
            fields = {
                "method": scope["method"],
                "path": path,
                "status": status,
                "ms": round(seconds * 1000, 1),
            }
            scope["app"].state.metrics.note_request(
                scope["method"], scope.get("route_template", "none"), status, seconds
            )
            log.info(
                "%s %r %d %.1f ms",
                scope["method"],
                path,
                status,
                seconds * 1000,
                extra={"fields": fields},
            )
