"""Requests that come through the operator's proxies count under the client that the proxy names (`agent.server.http.connection_limits`)."""

from starlette.types import ASGIApp, Receive, Scope, Send

from agent.server.http.connection_limits import visit_of
from agent.server.process.problems import TooManyError, problem_of

_RETRY_SECONDS = 5
_TRY_AGAIN_LATER = 1013


class CountedBehindProxies:
    """Passes on to `app` as many requests of one client at a time as it may make before it has shown who it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, unless it is one too many."""
        visit = visit_of(scope)
        client = scope.get("client")
        if visit is None or not visit.is_proxy or not client:
            await self._app(scope, receive, send)
            return
        if not visit.keeper.count(visit, client[0]):
            await _refuse(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            visit.keeper.uncount(visit)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
        return
    error = TooManyError(
        "this address has as many requests under way as it may",
        hint="wait a moment",
        retry_seconds=_RETRY_SECONDS,
    )
    await problem_of(error)(scope, receive, send)
