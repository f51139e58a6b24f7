"""`/api/v1/agent`: the websocket of an agent, from Starlette's hands into an `AgentConnection`'s."""

import logging
import secrets

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from agent.errors import AgentError
from agent.server.connection import AgentConnection
from agent.server.doorkeeper import prove
from agent.server.live import QUEUE
from agent.server.services import Services
from agent.wire.server_side import ServerProtocol

log = logging.getLogger("agent.server.hub")

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

    async def send(self, frame: str) -> None:
        if self._is_open():
            await self._websocket.send_text(frame)

    async def close(self) -> None:
        if self._is_open():
            await self._websocket.close()

    def _is_open(self) -> bool:
        states = (self._websocket.client_state, self._websocket.application_state)
        return states == (WebSocketState.CONNECTED, WebSocketState.CONNECTED)


async def connect_agent(websocket: WebSocket) -> None:
    """Run one agent's connection. Browsers are turned away: no agent sends an `Origin`."""
    services: Services = websocket.app.state.services
    if "origin" in websocket.headers:
        await websocket.close(_POLICY_VIOLATION)
        return
    if services.bus.is_closing or not services.hub.may_enter(
        services.settings.limits.connections_before_proof
    ):
        await websocket.close(_TRY_AGAIN_LATER)
        return
    await websocket.accept()
    connection = _make_connection(services, websocket)
    services.hub.enter(connection)
    try:
        await connection.serve()
    except* (WebSocketDisconnect, OSError):
        log.info("agent %s: the connection broke", connection.agent)
    except* AgentError as group:
        log.error("agent %s: %s", connection.agent, "; ".join(map(str, group.exceptions)))  # noqa: TRY400 - no bug
    finally:
        services.hub.leave(connection)
        await connection.leave()


def _make_connection(services: Services, websocket: WebSocket) -> AgentConnection:
    settings = services.settings

    def on_proven(agent: str, connection: AgentConnection) -> None:
        prove(websocket.scope)
        services.hub.add(agent, connection)

    protocol = ServerProtocol(
        services.folder.server_id, secrets.token_bytes(_NONCE_BYTES), settings.connection_terms
    )
    return AgentConnection(
        _Socket(websocket),
        protocol,
        registry=services.registry,
        leases=services.leases,
        journals=services.journals,
        ledger=services.ledger,
        fleet=services.fleet,
        pulse=services.pulse,
        bus=services.bus,
        heartbeat_seconds=settings.connection_terms.heartbeat_seconds,
        handshake_seconds=settings.limits.handshake_seconds,
        on_proven=on_proven,
        on_offers=services.delivery.deliver_to,
        on_ready=lambda: services.bus.wake(QUEUE),
        on_bytes=services.metrics.note_journal,
    )
