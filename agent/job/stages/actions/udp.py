"""`udp`: each datagram is a record (docs/streams-code.md).

At most once, by its nature: who sends a datagram never hears whether it arrived. What the kernel drops because nobody reads fast enough is
counted (Linux: SO_RXQ_OVFL, `socket(7)`) and said.
"""

import asyncio
import base64
import contextlib
import socket
import struct
from typing import Final

from agent.codec import load_standard
from agent.errors import AgentError
from agent.job.stages.actions.alone import run_alone
from agent.job.stages.stage import Bookmark, Intake, StageContext, StageError, StreamPosition, Value

_FORMATS: Final = ("json", "text", "base64")
_MOST_BYTES: Final = 64 << 10  # of a datagram; IPv6 knows larger ones
_MOST_RECORDS: Final = 500  # of a batch
_BUFFER_BYTES: Final = 4 << 20  # asked of the kernel, which gives what its owner allows (net.core.rmem_max)
_SO_RXQ_OVFL: Final = 40  # Python has no name for it
_COUNT: Final = struct.Struct("=I")
_SAID_SECONDS: Final = 10.0  # between two sentences about losses
_HIGHEST_PORT: Final = 65_535


class UdpTrigger:
    """See TriggerStage."""

    def __init__(self, context: StageContext) -> None:
        """Raises AgentError: what is wrong in the configuration."""
        self._context = context
        self._address = str(context.config.get("address") or "0.0.0.0")  # noqa: S104 - the documented default
        self._port = _read_port(context)
        self._format = str(context.config.get("format") or "json")
        if self._format not in _FORMATS:
            raise AgentError(f"`format` is none of {', '.join(_FORMATS)}", where=context.name)
        self._count = 0  # datagrams that came
        self._dropped = 0  # by the kernel, since the socket was opened
        self._told = 0  # of these
        self._silent_until = 0.0

    async def run(self, intake: Intake) -> None:
        """See TriggerStage."""

        async def listen(_bookmark: Bookmark) -> None:
            with self._open() as listener:
                address, port = listener.getsockname()[:2]
                self._context.say(f"listens for datagrams at {address}, port {port}")
                self._dropped = self._told = 0
                while True:
                    await _readable(listener)
                    await self._take(listener, intake)

        await run_alone(self._context, listen)

    async def settle(self, position: StreamPosition) -> None:
        """See TriggerStage. Nobody can be asked for a datagram again."""

    async def close(self) -> None:
        """See TriggerStage."""

    def _open(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            with contextlib.suppress(OSError):  # it is a wish
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            with contextlib.suppress(OSError):  # not Linux
                listener.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
            listener.bind((self._address, self._port))
        except OSError as error:
            listener.close()
            raise AgentError(
                f"the port {self._port} at {self._address} can't be listened at: {error.strerror or error}",
                where=self._context.name,
                hint="who has it (`ss -ulpn`)? It is tried again",
            ) from None
        return listener

    async def _take(self, listener: socket.socket, intake: Intake) -> None:
        """All that is there now, in batches."""
        batch: list[Value] = []
        is_empty = False
        while not is_empty and len(batch) < _MOST_RECORDS:
            try:
                data, ancillary, flags, _sender = listener.recvmsg(
                    _MOST_BYTES, socket.CMSG_SPACE(_COUNT.size)
                )
            except (BlockingIOError, InterruptedError):
                is_empty = True
                continue
            except OSError as error:
                raise AgentError(
                    f"the port can't be read: {error.strerror}", where=self._context.name
                ) from None
            self._count += 1
            self._note_drops(ancillary)
            position = StreamPosition("", self._count)
            try:
                batch.append(self._read(data, flags))
            except StageError as error:
                if batch:
                    await intake.emit(batch, StreamPosition("", self._count - 1))
                    batch = []
                intake.fail(data.decode("utf-8", "replace"), position, error)
        if batch:
            await intake.emit(batch, StreamPosition("", self._count))
        self._tell_drops()

    def _read(self, data: bytes, flags: int) -> Value:
        """The record that a datagram is. Raises StageError."""
        if flags & socket.MSG_TRUNC:
            raise StageError(f"the datagram is larger than {_MOST_BYTES >> 10} KiB", is_final=True)
        if self._format == "base64":
            return base64.b64encode(data).decode("ascii")
        if self._format == "text":
            return data.decode("utf-8", "replace")
        try:
            value: Value = load_standard(data)
        except ValueError as error:
            raise StageError(f"the datagram is no JSON: {error}", is_final=True) from None
        return value

    def _note_drops(self, ancillary: list[tuple[int, int, bytes]]) -> None:
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == _SO_RXQ_OVFL and len(data) >= _COUNT.size:
                (self._dropped,) = _COUNT.unpack_from(data)

    def _tell_drops(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._dropped == self._told or now < self._silent_until:
            return
        self._silent_until = now + _SAID_SECONDS
        self._context.warn(
            f"{self._dropped - self._told} datagrams were lost: the flow takes them more slowly than they come"
            " (the kernel's buffer was full; net.core.rmem_max bounds it)"
        )
        self._told = self._dropped


def make(context: StageContext) -> UdpTrigger:
    """The trigger. Raises AgentError."""
    return UdpTrigger(context)


def _read_port(context: StageContext) -> int:
    port = context.config.get("port")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= _HIGHEST_PORT:
        raise AgentError(f"`port` is a number up to {_HIGHEST_PORT}", where=context.name)
    return port


async def _readable(listener: socket.socket) -> None:
    """Return when a datagram is there."""
    loop = asyncio.get_running_loop()
    came: asyncio.Future[None] = loop.create_future()
    loop.add_reader(listener, lambda: None if came.done() else came.set_result(None))
    try:
        await came
    finally:
        loop.remove_reader(listener)
