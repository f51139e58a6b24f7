"""uvicorn's connections with deadlines and bounds, which it has not: for heads, for bodies, for answers that nobody reads.

    idle --bytes--> head --all of it--> body --all of it--> answer --> idle

| stage | ends the connection |
| --- | --- |
| idle | uvicorn, after some seconds |
| head | more bytes than a head has (431); a time in all (408) |
| body | fewer bytes than a minimum in each period, while we would read (408); answered already, and the rest does not come to an end |
| answer | nobody reads what is sent for a long time |

That there is no room is said at once (503), before anything is read. A websocket is one that has left at `head`.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from agent.server.http.connection_limits import Doorkeeper, Visit, hand_over
from agent.server.http.proxies import TrustedProxies
from agent.server.process.deadlines import Deadlines
from agent.server.process.problems import problem_response

log = logging.getLogger("agent.server")

_RETRY_SECONDS = 5
_NOTE_SECONDS = 60.0
_SIZES = ("max_size", "max_message_size")  # websockets' name for it, before 16 and since


@dataclass(frozen=True, slots=True)
class Door:
    """What the connections of one server process have in common."""

    keeper: Doorkeeper
    proxies: TrustedProxies
    deadlines: Deadlines
    visits: dict[asyncio.BaseTransport, Visit]

    def enter(self, transport: asyncio.BaseTransport) -> Visit | None:
        """A connection begins; None when there is no room for it."""
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        visit = self.keeper.enter(address, is_proxy=self.proxies.is_trusted(address))
        if visit is not None:
            self.visits[transport] = visit
        return visit

    def leave(self, transport: asyncio.BaseTransport) -> None:
        """A connection is over."""
        visit = self.visits.pop(transport, None)
        if visit is not None:
            self.keeper.leave(visit)


class ConnectionState(Enum):
    """Where an HTTP connection stands."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    ANSWER = auto()


class HttpConnection(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with bounds."""

    def __init__(self, door: Door, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self._door = door
        self._stage = ConnectionState.IDLE
        self._has_spoken = False
        self._received = self._body_received = self._noted = 0  # bytes of this message
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """The client is there: is there room for it?"""
        super().connection_made(transport)
        visit = self._door.enter(transport)
        if visit is None:
            self._refuse(
                503, "the server has as many connections as it can bear, or this address as many as it may"
            )
            return
        self.app_state = hand_over(self.app_state, visit)
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or was let go."""
        self._stop_clock()
        self._stop_unread()
        self._door.leave(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        if self._door.visits.get(self.transport) is None or self.transport.is_closing():
            return
        if self._stage is ConnectionState.IDLE:
            self._begin_head()
        self._has_spoken = True
        self._received += len(data)
        super().data_received(data)
        # What is neither body nor the few bytes that frame it: a head, chunk extensions, trailers. The read in which it began
        # does not count, since the end of another request may be in it.
        overhead = self._received - 8 * self._body_received
        if overhead > self._door.deadlines.head_bytes and self.transport.get_protocol() is self:
            self._refuse(431, "the request's head is too large")

    def handle_websocket_upgrade(self) -> None:
        """From here on the connection is the websocket's."""
        self._stop_clock()
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        """The first bytes of a request; the one before it may still be being answered."""
        super().on_message_begin()
        self._received = self._body_received = self._noted = 0
        self._begin_head()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._stage = ConnectionState.BODY
        self._watch_body()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Bytes of a body."""
        self._body_received += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there."""
        self._stop_clock()
        self._stage = ConnectionState.ANSWER
        super().on_message_complete()
        cycle: Any = self.cycle  # None where a first request became a websocket
        if cycle is not None and cycle.response_complete:
            self._stage = ConnectionState.IDLE
            self._start_clock(self.timeout_keep_alive, self.transport.close)

    def on_response_complete(self) -> None:
        """The answer is out; when not all was asked yet, the rest must come soon."""
        super().on_response_complete()
        if self._stage is ConnectionState.ANSWER:
            self._stage = ConnectionState.IDLE
        elif self._stage is ConnectionState.BODY and not self.transport.is_closing():
            self._start_clock(self._door.deadlines.linger_seconds, self.transport.close)

    def pause_writing(self) -> None:
        """The client reads less than is sent."""
        super().pause_writing()
        self._stop_unread()
        self._unread = self.loop.call_later(self._door.deadlines.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read on."""
        self._stop_unread()
        super().resume_writing()

    def _begin_head(self) -> None:
        self._stage = ConnectionState.HEAD
        self._start_clock(
            self._door.deadlines.head_seconds,
            lambda: self._refuse(408, "the request's head did not come in time"),
        )

    def _watch_body(self) -> None:
        """Look again in a while whether enough of the body has come."""
        self._noted = self._body_received
        self._start_clock(self._door.deadlines.body_seconds, self._check_body)

    def _check_body(self) -> None:
        is_waiting = not self.flow.read_paused
        if is_waiting and self._body_received - self._noted < self._door.deadlines.body_bytes:
            self._refuse(408, "the request's body did not come in time")
        else:
            self._watch_body()

    def _refuse(self, status: int, detail: str) -> None:
        """Say why, where that can be said, and hang up."""
        self._stop_clock()
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle  # None before the first request
        is_answering = cycle is not None and cycle.response_started and not cycle.response_complete
        is_unused = status == 408 and not self._has_spoken  # browsers open connections ahead
        if not is_unused and not is_answering:
            self.transport.write(_answer(status, detail))
        self.transport.close()

    def _start_clock(self, seconds: float, ring: Any) -> None:
        self._stop_clock()
        self._deadline = self.loop.call_later(seconds, ring)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _stop_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


class WebsocketConnection(WebSocketsSansIOProtocol):
    """uvicorn's websocket: it keeps the place that it had as an HTTP connection, and says little before it has proved itself."""

    def __init__(self, door: Door, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self._door = door

    def connection_made(self, transport: Any) -> None:
        """The upgrade was asked for."""
        super().connection_made(transport)
        visit = self._door.visits.get(transport)
        if visit is None:
            return
        self.app_state = hand_over(self.app_state, visit)
        most = {name: getattr(self.conn, name) for name in _SIZES if hasattr(self.conn, name)}
        self._bound(dict.fromkeys(most, self._door.deadlines.message_bytes_before_proof))
        visit.on_proven = lambda: self._bound(most)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._door.leave(self.transport)
        super().connection_lost(exc)

    def _bound(self, sizes: Mapping[str, Any]) -> None:
        for name, size in sizes.items():
            setattr(self.conn, name, size)


class FullNotes:
    """Where no file is left asyncio stops accepting for a second, and says so a thousand times; we say it once a minute."""

    def __init__(self) -> None:
        self._silent_until = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """See `loop.set_exception_handler`."""
        error = context.get("exception")
        if not isinstance(error, OSError) or "accept" not in str(context.get("message", "")):
            loop.default_exception_handler(context)
        elif loop.time() >= self._silent_until:
            self._silent_until = loop.time() + _NOTE_SECONDS
            log.error("no connection can be accepted for now: %s", error.strerror)


def _answer(status: int, detail: str) -> bytes:
    retry = {"Retry-After": str(_RETRY_SECONDS)} if status == 503 else {}
    response = problem_response(status, detail, headers=retry)
    head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(), b"connection: close"]
    head += [name + b": " + value for name, value in response.raw_headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + bytes(response.body)
