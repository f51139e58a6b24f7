"""Websockets, passed on to an app: message by message, both ways.

`websockets` speaks to the app over one end of a pair of sockets, whose other end is a channel.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from agent.errors import UnreachableError
from agent.server.apps.channels import Channel, open_channel
from agent.server.apps.headers import request_headers, response_headers
from agent.server.apps.http import target_of
from agent.server.apps.visits import AppVisit, cookie_name
from agent.server.http.rooms import Rooms

_MOST_MESSAGE_BYTES = 64 << 20  # from an app; what a browser may send is less (agent.server.serve)
_OPEN_SECONDS = 60.0
_PIECE_BYTES = 32 << 10
_GOING_AWAY, _BROKEN, _NO_STATUS = 1001, 1011, (1005, 1006, 1015)


async def pass_socket_on(scope: Scope, receive: Receive, send: Send, rooms: Rooms, visit: AppVisit) -> None:
    """A websocket from its opening, which the app may refuse, to its end. Raises AgentError, with nothing said yet."""
    await receive()  # that it was asked for
    async with _app_end(await open_channel(rooms, visit)) as end:
        try:
            upstream = await _dial(scope, end, rooms, visit)
        except InvalidStatus as refusal:
            answer = refusal.response  # the app wants none: its status is the answer
            await refuse(send, scope, answer.status_code, bytes(answer.body or b""))
            return
        except (OSError, WebSocketException) as error:
            raise UnreachableError(f"the app takes no websocket: {error}") from None
        try:
            headers = response_headers(
                [(name.encode(), value.encode("latin-1")) for name, value in _answer_of(upstream)],
                port=visit.app.port,
                origin=visit.origin,
                own_cookie=cookie_name(rooms),
            )
            kept = [(name, value) for name, value in headers if name == b"set-cookie"]
            await send({"type": "websocket.accept", "subprotocol": upstream.subprotocol, "headers": kept})
            await _converse(receive, send, upstream)
        finally:
            await upstream.close()


async def _dial(scope: Scope, end: socket.socket, rooms: Rooms, visit: AppVisit) -> ClientConnection:
    headers = request_headers(
        scope["headers"],
        port=visit.app.port,
        origin=visit.origin,
        address=visit.address,
        own_cookie=cookie_name(rooms),
    )
    own = (b"host", b"user-agent")
    told = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if name not in own and not name.startswith(b"sec-websocket-")
    ]
    agents = [value.decode("latin-1") for name, value in headers if name == b"user-agent"]
    return await connect(
        f"ws://127.0.0.1:{visit.app.port}{target_of(scope).decode('latin-1')}",
        sock=end,
        subprotocols=[Subprotocol(name) for name in scope["subprotocols"]] or None,
        additional_headers=told,
        user_agent_header=agents[0] if agents else None,
        compression=None,
        max_size=_MOST_MESSAGE_BYTES,
        open_timeout=_OPEN_SECONDS,
        ping_interval=None,
        close_timeout=2,
        proxy=None,
    )


def _answer_of(upstream: ClientConnection) -> list[tuple[str, str]]:
    return [] if upstream.response is None else list(upstream.response.headers.raw_items())


async def refuse(send: Send, scope: Scope, status: int, body: bytes) -> None:
    """There is no conversation: the answer is this."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.http.response.start", "status": status, "headers": []})
    await send({"type": "websocket.http.response.body", "body": body})


async def _converse(receive: Receive, send: Send, upstream: ClientConnection) -> None:
    """Until one side closes; the other one is told the same."""
    to_app = asyncio.create_task(_pass_to_app(receive, upstream))
    to_browser = asyncio.create_task(_pass_to_browser(upstream, send))
    try:
        await asyncio.wait({to_app, to_browser}, return_when=asyncio.FIRST_COMPLETED)
        if to_app.done():
            with suppress(ConnectionClosed):
                await upstream.close(_sendable(to_app.result(), _GOING_AWAY))
        else:
            to_browser.result()
            code, reason = upstream.close_code or _BROKEN, upstream.close_reason or ""
            await send({"type": "websocket.close", "code": _sendable(code, _BROKEN), "reason": reason})
    finally:
        for task in (to_app, to_browser):
            task.cancel()
        await asyncio.wait({to_app, to_browser})


async def _pass_to_app(receive: Receive, upstream: ClientConnection) -> int:
    """Returns the browser's closing code."""
    while True:
        message = await receive()
        if message["type"] != "websocket.receive":
            return int(message.get("code") or _GOING_AWAY)
        data = message.get("bytes")
        with suppress(ConnectionClosed):  # whoever listens to the app knows
            await upstream.send(message["text"] if data is None else data)


async def _pass_to_browser(upstream: ClientConnection, send: Send) -> None:
    with suppress(ConnectionClosed):
        async for data in upstream:
            kind = "text" if isinstance(data, str) else "bytes"
            await send({"type": "websocket.send", kind: data})


def _sendable(code: int, instead: int) -> int:
    return instead if code in _NO_STATUS else code


@asynccontextmanager
async def _app_end(channel: Channel) -> AsyncIterator[socket.socket]:
    """A socket whose other end is the channel; both are closed at the end."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=theirs)
    tasks = [
        asyncio.create_task(_pump_out(reader, channel)),
        asyncio.create_task(_pump_in(channel, writer)),
    ]
    try:
        yield ours
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        writer.close()
        ours.close()
        await asyncio.shield(channel.close())


async def _pump_out(reader: asyncio.StreamReader, channel: Channel) -> None:
    with suppress(OSError):
        while data := await reader.read(_PIECE_BYTES):
            await channel.write(data)


async def _pump_in(channel: Channel, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await channel.read():
            writer.write(data)
            await writer.drain()
    writer.close()


def closing(code: int = _BROKEN, reason: str = "") -> dict[str, Any]:
    """What ends a websocket of ours."""
    return {"type": "websocket.close", "code": code, "reason": reason[:100]}
