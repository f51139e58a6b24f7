"""`/api/v1/agent`: the websocket of an agent, from Starlette's hands into an `AgentConnection`'s."""

import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from agent.errors import AgentError
from agent.server.agents.connection import AgentConnection
from agent.server.events.live import QUEUE
from agent.server.http.connection_limits import prove
from agent.server.http.rooms import Rooms
from agent.wire.server_side import ServerProtocol

log = logging.getLogger("agent.server.agents.hub")

_NONCE_BYTES = 32
_POLICY_VIOLATION = 1008
_TRY_AGAIN_LATER = 1013


class _Socket:
    """A Starlette websocket as `AgentConnection` wants it."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> str | bytes | None:
        if self._websocket.client_state is not WebSocketState.CONNECTED:
            return None
        message = await self._websocket.receive()
        if message["type"] != "websocket.receive":
            return None
        frame: str | bytes | None = message.get("text")
        return frame if frame is not None else message.get("bytes")

    async def send(self, frame: str | bytes) -> None:
        if self._is_open():
            send: Callable[[Any], Awaitable[None]] = (
                self._websocket.send_text if isinstance(frame, str) else self._websocket.send_bytes
            )
            await send(frame)

    async def close(self) -> None:
        if self._is_open():
            await self._websocket.close()

    def _is_open(self) -> bool:
        states = (self._websocket.client_state, self._websocket.application_state)
        return states == (WebSocketState.CONNECTED, WebSocketState.CONNECTED)


async def connect_agent(websocket: WebSocket) -> None:
    """Run one agent's connection. Browsers are turned away: no agent sends an `Origin`."""
    rooms: Rooms = websocket.app.state.rooms
    if "origin" in websocket.headers:
        await websocket.close(_POLICY_VIOLATION)
        return
    if rooms.bus.is_closing or not rooms.agents.hub.may_enter(rooms.process.limits.connections_before_proof):
        await websocket.close(_TRY_AGAIN_LATER)
        return
    await websocket.accept()
    connection = _make_connection(rooms, websocket)
    rooms.agents.hub.enter(connection)
    try:
        await connection.serve()
    except* (WebSocketDisconnect, OSError):
        log.info("agent %s: the connection broke", connection.agent)
    except* AgentError as group:
        log.error("agent %s: %s", connection.agent, "; ".join(map(str, group.exceptions)))  # noqa: TRY400 - no bug
    finally:
        rooms.agents.hub.leave(connection)
        await connection.leave()


def _make_connection(rooms: Rooms, websocket: WebSocket) -> AgentConnection:
    terms = rooms.agents.terms

    def on_proven(agent: str, connection: AgentConnection) -> None:
        prove(websocket.scope)
        rooms.agents.hub.add(agent, connection)

    protocol = ServerProtocol(rooms.process.folder.server_id, secrets.token_bytes(_NONCE_BYTES), terms)
    return AgentConnection(
        _Socket(websocket),
        protocol,
        registry=rooms.agents.registry,
        leases=rooms.agents.leases,
        journals=rooms.data.journals,
        job_records=rooms.agents.job_records,
        peers=rooms.agents.peers,
        heartbeats=rooms.agents.heartbeats,
        bus=rooms.bus,
        heartbeat_seconds=terms.heartbeat_seconds,
        handshake_seconds=rooms.process.limits.handshake_seconds,
        on_proven=on_proven,
        on_offers=rooms.agents.offers.deliver_to,
        load_event_part=rooms.agents.offers.load_event_part,
        on_ready=lambda: rooms.bus.wake(QUEUE),
        on_bytes=rooms.process.metrics.note_journal,
    )
