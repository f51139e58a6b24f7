"""HTTP requests, passed on to an app and answered piece by piece: no body is held whole.

httpcore speaks HTTP/1.1 to the app, over channels in place of its sockets, and keeps those that the app leaves open.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from time import monotonic
from typing import Any

import httpcore
from starlette.types import Message, Receive, Scope, Send

from agent.asking import give_up_on_sniffio
from agent.errors import AgentError, UnreachableError
from agent.server.apps.channels import Channel, open_channel
from agent.server.apps.headers import request_headers, response_headers
from agent.server.apps.visits import AppVisit, cookie_name
from agent.server.http.rooms import Rooms

_MOST_CONNECTIONS = 64  # to one app, of all its visitors
_IDLE_SECONDS = 15.0
_UNUSED_SECONDS = 600.0  # after which an app's connections are forgotten
_TIMEOUTS = {"pool": 30.0}  # an app may think, or be silent, for as long as it likes


class HttpPasser:
    """Passes requests on."""

    def __init__(self) -> None:
        self._pools: dict[tuple[str, int, int], _Pool] = {}

    async def pass_on(
        self, scope: Scope, receive: Receive, send: Send, rooms: Rooms, visit: AppVisit
    ) -> None:
        """Answer a request with what the app says. Raises AgentError, with nothing sent yet, when it can't be reached."""
        inlet = _Inlet(receive)
        reading = asyncio.create_task(inlet.run())
        answering = asyncio.create_task(self._answer(scope, inlet, send, rooms, visit))
        try:
            await asyncio.wait({reading, answering}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()  # else: whoever asked has gone
        finally:
            for task in (reading, answering):
                task.cancel()
            await asyncio.wait({reading, answering})

    async def _answer(self, scope: Scope, inlet: "_Inlet", send: Send, rooms: Rooms, visit: AppVisit) -> None:
        pool = self._find_pool(rooms, visit)
        request = _make_request(scope, inlet, rooms, visit)
        try:
            response = await pool.ask(request, is_repeatable=not inlet.has_body(scope))
        except _NotThereError as error:
            raise error.why from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise _broken(error) from None
        try:
            headers = response_headers(
                response.headers, port=visit.app.port, origin=visit.origin, own_cookie=cookie_name(rooms)
            )
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            async for data in response.aiter_stream():
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except (httpcore.NetworkError, httpcore.ProtocolError):
            return  # cut off in the middle: an answer without an end says so to whoever reads it
        finally:
            await asyncio.shield(response.aclose())

    def _find_pool(self, rooms: Rooms, visit: AppVisit) -> "_Pool":
        now = monotonic()
        for key, pool in list(self._pools.items()):
            if pool.is_unused(now):
                del self._pools[key]
        key = (visit.job.id, visit.job.lease, visit.app.place)
        found = self._pools.get(key)
        if found is None:
            found = self._pools[key] = _Pool(rooms, visit)
        return found


class _Pool:
    """The connections to one app."""

    def __init__(self, rooms: Rooms, visit: AppVisit) -> None:
        give_up_on_sniffio()
        self._backend = _Backend(rooms, visit)
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=_MOST_CONNECTIONS,
            max_keepalive_connections=_MOST_CONNECTIONS,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=self._backend,
        )
        self._used_at = monotonic()

    def is_unused(self, now: float) -> bool:
        """Whether it may be forgotten."""
        return now - self._used_at > _UNUSED_SECONDS and not self._pool.connections

    async def ask(self, request: httpcore.Request, *, is_repeatable: bool) -> httpcore.Response:
        """The app's answer. A connection that the app closed just then is no answer: what may be repeated is."""
        self._used_at = monotonic()
        try:
            return await self._pool.handle_async_request(request)
        except (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError):
            if not is_repeatable:
                raise
            return await self._pool.handle_async_request(request)


class _Backend(httpcore.AsyncNetworkBackend):
    """Connections of httpcore's, each a channel."""

    def __init__(self, rooms: Rooms, visit: AppVisit) -> None:
        self._rooms = rooms
        self._visit = visit

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        del host, port, timeout, local_address, socket_options
        try:
            return _Stream(await open_channel(self._rooms, self._visit))
        except AgentError as error:
            raise _NotThereError(error) from None

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _NotThereError(httpcore.ConnectError):
    """There is no channel, and why."""

    def __init__(self, why: AgentError) -> None:
        super().__init__(str(why))
        self.why = why


class _Stream(httpcore.AsyncNetworkStream):
    """A channel as httpcore wants it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._left = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
        del timeout
        try:
            data = self._left or await self._channel.read()
        except ConnectionError as error:
            raise httpcore.ReadError(str(error)) from None
        self._left = data[max_bytes:]
        return data[:max_bytes]

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's
        del timeout
        try:
            await self._channel.write(buffer)
        except ConnectionError as error:
            raise httpcore.WriteError(str(error)) from None

    async def aclose(self) -> None:
        await self._channel.close()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
    ) -> httpcore.AsyncNetworkStream:
        raise NotImplementedError

    def get_extra_info(self, info: str) -> Any:
        """A connection that waits unused and has something to say has hung up."""
        return self._channel.is_over if info == "is_readable" else None


class _Inlet:
    """What a browser sends, no faster than the app takes it; and the news that it has gone."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._pieces: asyncio.Queue[Message | None] = asyncio.Queue(1)

    @staticmethod
    def has_body(scope: Scope) -> bool:
        """Whether the request brings a body."""
        names = {name for name, _ in scope["headers"]}
        return b"transfer-encoding" in names or b"content-length" in names

    async def run(self) -> None:
        """Returns when the browser has gone."""
        while (message := await self._receive())["type"] == "http.request":
            await self._pieces.put(message)

    async def body(self) -> AsyncIterator[bytes]:
        """The body, piece by piece."""
        is_more = True
        while is_more:
            message = await self._pieces.get()
            if message is None:
                return
            if message.get("body"):
                yield message["body"]
            is_more = bool(message.get("more_body"))


def _make_request(scope: Scope, inlet: _Inlet, rooms: Rooms, visit: AppVisit) -> httpcore.Request:
    port = visit.app.port
    headers = request_headers(
        scope["headers"],
        port=port,
        origin=visit.origin,
        address=visit.address,
        own_cookie=cookie_name(rooms),
    )
    if any(name == b"transfer-encoding" for name, _ in scope["headers"]):
        headers.append((b"transfer-encoding", b"chunked"))
    return httpcore.Request(
        scope["method"],
        httpcore.URL(scheme=b"http", host=b"127.0.0.1", port=port, target=target_of(scope)),
        headers=headers,
        content=inlet.body() if inlet.has_body(scope) else None,
        extensions={"timeout": _TIMEOUTS},
    )


def target_of(scope: Scope) -> bytes:
    """Path and query as the browser wrote them."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return path + (b"?" + query if query else b"")


def _broken(error: Exception) -> UnreachableError:
    said = str(error)
    return UnreachableError(
        "the app broke off before it had answered" + (f": {said}" if said else ""), hint="the job goes on"
    )
