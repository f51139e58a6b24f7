"""Sessions at the server that holds the agent's connection, asked for by another one: a viewer's websocket is passed on as it is."""

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.websockets import WebSocket

from agent.errors import AgentError
from agent.wire.codec import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

HEADER = "x-flow-relayed"  # there: nobody passes it on again

_OPEN_SECONDS = 10.0
_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - addresses to listen on, and none to call


async def relay(websocket: WebSocket, address: str, agent_name: str) -> dict[str, Any]:
    """Pass everything on until one side hangs up; how the session ended. Raises AgentError when there is no way."""
    socket = await dial_peer(address, websocket.headers["authorization"], agent_name)
    try:
        return await _pass_on(websocket, socket)
    finally:
        await socket.close()


async def dial_peer(address: str, authorization: str, agent_name: str) -> "ClientConnection":
    """A websocket for a session at the server that holds the agent's connection. Raises AgentError when there is no way."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import WebSocketException

    parts = urlsplit(address)
    if parts.hostname is None or parts.hostname in _EVERYWHERE:
        raise AgentError(
            f"the agent {agent_name} is connected to another server, which nobody can call",
            where=address,
            hint="start that server with --peer-url, where the others reach it",
        )
    scheme = "wss" if parts.scheme == "https" else "ws"
    headers = {"Authorization": authorization, HEADER: "1"}
    try:
        return await connect(
            f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}/api/v1/attach",
            additional_headers=headers,
            compression=None,
            max_size=MAX_FRAME_BYTES,
            open_timeout=_OPEN_SECONDS,
            close_timeout=2,
            proxy=None,
        )
    except (OSError, WebSocketException):
        raise AgentError(
            f"the agent {agent_name} is connected to another server, which can't be reached",
            where=address,
            hint="start that server with --peer-url, where the others reach it",
        ) from None


async def _pass_on(websocket: WebSocket, socket: "ClientConnection") -> dict[str, Any]:
    showing = asyncio.ensure_future(_show(websocket, socket))
    reading = asyncio.ensure_future(_read(websocket, socket))
    try:
        await asyncio.wait({showing, reading}, return_when=asyncio.FIRST_COMPLETED)
        return showing.result() if showing.done() else {"exit_code": None, "message": "hung up", "hint": ""}
    finally:
        for task in (showing, reading):
            task.cancel()
        await asyncio.wait({showing, reading})


async def _show(websocket: WebSocket, socket: "ClientConnection") -> dict[str, Any]:
    from websockets.exceptions import ConnectionClosed

    try:
        while True:
            frame = await socket.recv()
            if isinstance(frame, bytes):
                await websocket.send_bytes(frame)
                continue
            said = json.loads(frame)
            if said["kind"] == "ended":
                return {name: said[name] for name in ("exit_code", "message", "hint")}
            await websocket.send_text(frame)
    except ConnectionClosed:
        return {"exit_code": None, "message": "the server that held the session went away", "hint": ""}


async def _read(websocket: WebSocket, socket: "ClientConnection") -> None:
    while (message := await websocket.receive())["type"] == "websocket.receive":
        data = message.get("bytes")
        await socket.send(message["text"] if data is None else data)
