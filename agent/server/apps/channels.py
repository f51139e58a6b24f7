"""Channels to the port of an app: bytes both ways, over the connection of the job's agent, wherever that is.

When another server of the installation holds it, a channel is a websocket to that server, as somebody's who is attached would be.
"""

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from agent.errors import AgentError, UnreachableError
from agent.server.agents.attach_permits import make_ticket
from agent.server.agents.attachments import AgentSessions, ViewerSession, cut, make_attach
from agent.server.apps.visits import AppVisit
from agent.server.http.relay import dial_peer
from agent.server.http.rooms import Rooms
from agent.server.people.auth.tickets import Ticket
from agent.wire import messages as m

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

_OPEN_SECONDS = 30.0


class Channel(Protocol):
    """A connection to an app."""

    @property
    def is_over(self) -> bool:
        """Whether the app has hung up, as far as is known."""
        ...

    async def read(self) -> bytes:
        """What comes next; empty when the app has hung up. Raises ConnectionError when the way to it broke."""
        ...

    async def write(self, data: bytes) -> None:
        """Send; returns when there is room for more."""
        ...

    async def close(self) -> None:
        """Hang up. May be repeated."""
        ...


async def open_channel(rooms: Rooms, visit: AppVisit) -> Channel:
    """A connection to the app that `visit` is at. Raises AgentError: it does not listen, its agent is away."""
    ticket = make_ticket(visit.job, visit.caller, visit.address, app=visit.app.name)
    holder = await rooms.agents.permits.find_holder(ticket)
    if holder:
        return await _PeerChannel.open(holder, rooms.people.tickets.make(ticket), ticket.agent_name)
    sessions = rooms.agents.hub.sessions_of(ticket.agent)
    if sessions is None:
        raise UnreachableError(f"the agent {ticket.agent_name} is just connecting", hint="the job goes on")
    return await _OwnChannel.open(sessions, ticket)


class _OwnChannel:
    """Over an agent's connection that is here."""

    def __init__(self, sessions: AgentSessions, session: ViewerSession) -> None:
        self._sessions = sessions
        self._session = session
        self._has_ended = False

    @classmethod
    async def open(cls, sessions: AgentSessions, ticket: Ticket) -> "_OwnChannel":
        session = sessions.open(make_attach(ticket), ticket.agent_name)
        channel = cls(sessions, session)
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                said = await session.receive()
        except TimeoutError:
            await channel.close()
            raise UnreachableError(f"the agent {ticket.agent_name} does not answer") from None
        except BaseException:
            await channel.close()
            raise
        if not isinstance(said, m.AttachOpened):
            await channel.close()
            raise UnreachableError(
                said.message if isinstance(said, m.AttachEnded) else "the app does not answer"
            )
        return channel

    @property
    def is_over(self) -> bool:
        return self._has_ended or self._session.has_ended

    async def read(self) -> bytes:
        if self._has_ended:
            return b""
        match await self._session.receive():
            case m.AttachOutput(data=data):
                self._session.took()
                return data
            case m.AttachEnded(exit_code=None, message=message):
                self._has_ended = True
                raise ConnectionResetError(message)
            case _:
                self._has_ended = True
                return b""

    async def write(self, data: bytes) -> None:
        for piece in cut(data, m.PORT_FRAME_BYTES):
            await self._session.send(m.AttachInput("", piece))

    async def close(self) -> None:
        self._has_ended = True
        self._session.leave()
        self._sessions.close(self._session.asked.session)


class _PeerChannel:
    """Over a websocket to the server that holds the agent's connection."""

    def __init__(self, socket: "ClientConnection") -> None:
        self._socket = socket
        self._has_ended = False

    @classmethod
    async def open(cls, holder: str, ticket: str, agent_name: str) -> "_PeerChannel":
        channel = cls(await dial_peer(holder, f"Bearer {ticket}", agent_name))
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                said = await channel._hear()
        except (TimeoutError, ConnectionError):
            await channel.close()
            raise UnreachableError(
                f"the server that the agent {agent_name} is connected to does not answer"
            ) from None
        if said.get("kind") != "opened":
            await channel.close()
            raise AgentError(str(said.get("message", "")), hint=str(said.get("hint", "")))
        return channel

    @property
    def is_over(self) -> bool:
        return self._has_ended or self._socket.close_code is not None

    async def read(self) -> bytes:
        from websockets.exceptions import ConnectionClosed

        if self._has_ended:
            return b""
        try:
            frame = await self._socket.recv()
        except ConnectionClosed:
            self._has_ended = True
            raise ConnectionResetError("the server that the agent is connected to went away") from None
        if isinstance(frame, bytes):
            return frame[1:]
        self._has_ended = True
        said = json.loads(frame)
        if said.get("exit_code") is None:
            raise ConnectionResetError(str(said.get("message", "")))
        return b""

    async def write(self, data: bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            for piece in cut(data, m.PORT_FRAME_BYTES):
                await self._socket.send(piece)
        except ConnectionClosed:
            raise ConnectionResetError("the server that the agent is connected to went away") from None

    async def close(self) -> None:
        self._has_ended = True
        with suppress(OSError):
            await self._socket.close()

    async def _hear(self) -> dict[str, object]:
        """What the other server says before any bytes."""
        from websockets.exceptions import ConnectionClosed

        try:
            frame = await self._socket.recv()
        except ConnectionClosed:
            raise ConnectionResetError from None
        return {} if isinstance(frame, bytes) else dict(json.loads(frame))
