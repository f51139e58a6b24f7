"""The one connection to the server: dialled, opened, and made again whenever it is lost.

    dial --> hello, proof, ready --> serve (listen, and the crew: shipping, heartbeat, drain) --> lost --> pause --+
     ^                                                                                                          |
     +----------------------------------------------------------------------------------------------------------+

It ends when the server says something that trying again can't heal, and after a goodbye. Jobs never notice any of it.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

from agent import __version__
from agent.daemon.backoff import choose_pause
from agent.daemon.generation import Generation
from agent.daemon.state import Registration
from agent.errors import RefusedError
from agent.wire import messages as m
from agent.wire.agent_side import AgentProtocol, Sign
from agent.wire.answers import explain_answer, explain_silence
from agent.wire.codec import MAX_FRAME_BYTES
from agent.wire.errors import WireError

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

SOFTWARE = f"flow-agent/{__version__}"

_OPEN_SECONDS = 20.0
_PING_SECONDS = 15.0

_REGISTER_AGAIN = "register again: `agent register --replace --url URL --token TOKEN`"
_FATAL = {
    "unknown_agent": ("the server does not know this agent, or not any more", _REGISTER_AGAIN),
    "bad_signature": ("the server did not accept this agent's signature", _REGISTER_AGAIN),
    "unsupported_version": ("agent and server speak no common protocol", "update the older one of the two"),
    "replaced": (
        "another process connected with this agent's identity, so this one stops",
        "an identity is for one machine: register copies anew with --replace",
    ),
    "older_copy": (
        "this state is older than what the server has seen of this agent: a copy of it has been at work since",
        "register copies anew with --replace; if this is the one that stays (a backup), `agent start --moved`, once",
    ),
}

log = logging.getLogger("agent.daemon")


class RejectedError(RefusedError):
    """The server has said no, and would say it again. `code` is `Rejected`'s.

    Exit 2, as for wrong use: systemd must not start the agent again and again (two copies of one identity would
    replace each other for ever); a person has to look.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, code: str, where: str) -> None:
        what, hint = _FATAL[code]
        super().__init__(what, where=where, hint=hint)
        self.code = code


class Connection:
    """An open connection: the protocol, and the socket that its frames go out on."""

    def __init__(self, protocol: AgentProtocol, socket: "ClientConnection") -> None:
        self.protocol = protocol
        self.heartbeat_seconds = 0.0  # as the server's welcome says
        self.generation = 0  # likewise
        self.has_said_goodbye = False
        self.offers: asyncio.Queue[m.Assign] = asyncio.Queue()  # that came and were not answered
        self.without_event: asyncio.Queue[tuple[str, int]] = asyncio.Queue()  # jobs that wait for theirs
        self.parts: asyncio.Queue[m.EventPart | m.Revoke] = (
            asyncio.Queue()
        )  # of events, and what ends the wait for one
        self._socket = socket
        self._sending = asyncio.Lock()

    async def flush(self) -> None:
        """Send what the protocol has queued, in order. A connection that is gone is the listener's business."""
        from websockets.exceptions import ConnectionClosed

        async with self._sending:
            try:
                for frame in self.protocol.outgoing():
                    await self._socket.send(frame)
            except ConnectionClosed:
                return

    async def close(self) -> None:
        """End this connection, for another one in which `ready` is said anew."""
        await self._socket.close()

    async def receive(self) -> tuple[m.ServerMessage, ...]:
        """The next messages; answers that the protocol gives by itself are sent. Raises ConnectionClosed, WireError."""
        frame = await self._socket.recv()
        hear = partial(self._hear, frame)
        # Until the work begins nobody else uses the protocol, and the answer to the challenge takes its time.
        messages = hear() if self.protocol.is_ready else await asyncio.to_thread(hear)
        await self.flush()
        return messages

    def _hear(self, frame: str | bytes) -> tuple[m.ServerMessage, ...]:
        if isinstance(frame, str):
            return self.protocol.receive_text(frame)
        return self.protocol.receive_bytes(frame)


MakeReady = Callable[[], Awaitable[m.Ready]]
Obey = Callable[[m.ServerMessage, Connection], Awaitable[None]]
CrewMember = Callable[[Connection], Coroutine[Any, Any, None]]


class LinkState(StrEnum):
    """How the line to the server stands."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"  # before the next try


class Link:
    """Keeps the agent connected. `state` and `problem` say for people how it stands."""

    def __init__(
        self,
        registration: Registration,
        sign: Sign,
        *,
        make_ready: MakeReady,
        obey: Obey,
        generation: Generation,
        crew: Sequence[CrewMember] = (),
        random: Callable[[], float],
        boot: str = "",
        ping_seconds: float = _PING_SECONDS,
    ) -> None:
        self.state = LinkState.CONNECTING
        self.problem = ""
        self._registration = registration
        self._sign = sign
        self._make_ready = make_ready
        self._obey = obey
        self._crew = crew
        self._random = random
        self._boot = boot
        self._generation = generation
        self._ping_seconds = ping_seconds
        self._leaving = asyncio.Event()
        self._failures = 0

    def leave(self) -> None:
        """Say goodbye as soon as there is a connection: the agent unregisters. `run` returns then."""
        self._leaving.set()

    async def run(self) -> None:
        """Stay connected. Returns after a goodbye; raises RejectedError for what trying again can't heal."""
        while not await self.attempt():
            self._failures += 1
            self.state = LinkState.WAITING
            await asyncio.sleep(choose_pause(self._failures, self._random))

    async def attempt(self) -> bool:
        """One connection from dialling to its end; whether it ended with our goodbye. Raises RejectedError as `run`."""
        from websockets.exceptions import WebSocketException

        self.state = LinkState.CONNECTING
        try:
            return await self._converse()
        except RejectedError as error:
            if error.code == "unknown_agent" and self._leaving.is_set():
                return True  # the goodbye was heard; only its answer was lost
            raise
        except WireError as error:
            self._note(f"the server broke the protocol: {error}")
        except (OSError, WebSocketException, EOFError) as error:
            self._note(explain_dial_failure(error))
        return False

    async def _converse(self) -> bool:
        from websockets.asyncio.client import connect

        async with connect(
            websocket_url(self._registration.url),
            compression=None,
            max_size=MAX_FRAME_BYTES,
            open_timeout=_OPEN_SECONDS,
            ping_interval=self._ping_seconds,
            ping_timeout=self._ping_seconds,
            close_timeout=2,
            user_agent_header=SOFTWARE,
        ) as socket:
            agent, kept = self._registration.agent, self._generation.kept
            connection = Connection(AgentProtocol(agent, SOFTWARE, self._sign, self._boot, kept), socket)
            await self._open(connection)
            return await self._serve(connection)

    async def _open(self, connection: Connection) -> None:
        connection.protocol.hello()
        await connection.flush()
        async with asyncio.timeout(_OPEN_SECONDS):
            while not connection.protocol.is_welcome:
                self._take_opening(await connection.receive(), connection)
        ready = await self._make_ready()
        kept = await asyncio.to_thread(self._generation.keep, connection.generation)
        connection.protocol.ready(replace(ready, generation=kept))
        await connection.flush()
        log.info("connected to %s as %s", self._registration.url, self._registration.name)
        self.state, self.problem, self._failures = LinkState.CONNECTED, "", 0

    def _take_opening(self, messages: tuple[m.ServerMessage, ...], connection: Connection) -> None:
        for message in messages:
            if isinstance(message, m.Welcome):
                connection.heartbeat_seconds = message.heartbeat_seconds
                connection.generation = message.generation
            if isinstance(message, m.Rejected):
                self._take_rejection(message)

    async def _serve(self, connection: Connection) -> bool:
        """Listen until the connection is lost; the crew works as long."""
        try:
            async with asyncio.TaskGroup() as group:
                crew = [group.create_task(member(connection)) for member in (*self._crew, self._say_goodbye)]
                is_clean = await self._listen(connection)
                for task in crew:
                    task.cancel()
        except BaseExceptionGroup as errors:  # the first is the cause, the others were cancelled by it
            raise errors.exceptions[0] from None
        return is_clean and connection.has_said_goodbye

    async def _listen(self, connection: Connection) -> bool:
        """Obey until the connection is lost; whether the server closed it in good order."""
        from websockets.exceptions import ConnectionClosed, ConnectionClosedOK

        try:
            while True:
                for message in await connection.receive():
                    if isinstance(message, m.Rejected):
                        self._take_rejection(message)
                    await self._obey(message, connection)
        except ConnectionClosed as error:
            if not connection.has_said_goodbye:
                self._note(explain_dial_failure(error))
            return isinstance(error, ConnectionClosedOK)

    async def _say_goodbye(self, connection: Connection) -> None:
        await self._leaving.wait()
        connection.protocol.goodbye()
        connection.has_said_goodbye = True
        await connection.flush()

    def _take_rejection(self, rejected: m.Rejected) -> None:
        """Raises RejectedError when trying again can't help."""
        if rejected.code in _FATAL:
            raise RejectedError(rejected.code, self._registration.url)
        self._note(f"the server ended the connection: {rejected.message}")

    def _note(self, problem: str) -> None:
        """Say what is wrong, once as long as it stays the same."""
        if problem != self.problem:
            log.warning("%s (%s); trying again", problem, self._registration.url)
        self.problem = problem


def websocket_url(url: str) -> str:
    """Where the agent connects to, given the server's http(s) URL."""
    parts = urlsplit(url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, parts.netloc, f"{parts.path.rstrip('/')}/api/v1/agent", "", ""))


def explain_dial_failure(error: Exception) -> str:
    """Why there is no connection, in words."""
    from websockets.exceptions import ConnectionClosed, InvalidStatus

    match error:
        case InvalidStatus():
            answer = error.response
            return explain_answer(answer.status_code, answer.headers, bytes(answer.body or b""), "").what
        case ConnectionClosed():
            return "the connection to the server was lost"
        case TimeoutError():
            return "the server does not answer"
        case ssl.SSLError():
            return explain_silence(type(error).__name__, str(error), "").what
        case ConnectionRefusedError():
            return "the server can't be reached: nobody listens there"
        case _:
            return f"the server can't be reached: {error}"
