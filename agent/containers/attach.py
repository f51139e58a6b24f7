"""The output of a container or of a program in it, straight from the engine's socket.

After its answer the engine speaks frames: one byte for the stream (1 out, 2 error), three of nothing, four for the length,
big endian, then the bytes. Done by hand, as docker-py may lose what comes in one packet with the answer's head.
Source: Docker Engine API, `POST /containers/{id}/attach`, *Stream format*.
"""

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from agent.containers.engine import EngineError, Sink
from agent.errors import UnreachableError, UsageError

_BUFFER_BYTES = 1 << 20
_READ_BYTES = 8 << 10
_PORT = 2375
_UPGRADED = (101, 200)


Reach = Callable[[], socket.socket]  # gives a fresh connection; for who may not open one


class OutputStream:
    """One answer of the engine that goes on as a stream of frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(
        cls, address: str, path: str, body: dict[str, Any] | None = None, reach: Reach | None = None
    ) -> "OutputStream":
        """Ask for `path` and read the answer's head. Raises UnreachableError, EngineError."""
        stream = cls(*await _connect(address, reach))
        try:
            await stream._ask(path, json.dumps(body or {}).encode())
        except BaseException:
            stream.close()
            raise
        return stream

    async def read(self, sink: Sink) -> None:
        """Hand everything to `sink` until the engine says no more. Raises UnreachableError when it breaks off."""
        try:
            while head := await self._reader.read(1):
                head += await self._reader.readexactly(7)
                sink(await self._reader.readexactly(int.from_bytes(head[4:], "big")))
        except (OSError, asyncio.IncompleteReadError):
            raise UnreachableError("the container engine went away while it was listened to") from None

    async def receive(self, *, is_terminal: bool) -> tuple[int, bytes] | None:
        """The next bytes with their stream's number (of a terminal's, which has no frames, 1); None when none will come."""
        try:
            if is_terminal:
                data = await self._reader.read(_READ_BYTES)
                return (1, data) if data else None
            head = await self._reader.readexactly(8)
            return head[0], await self._reader.readexactly(int.from_bytes(head[4:], "big"))
        except (OSError, asyncio.IncompleteReadError):
            return None

    async def send(self, data: bytes) -> None:
        """Standard input; what nobody reads any more is dropped."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            return

    def end_input(self) -> None:
        """Nothing more will be sent."""
        try:
            self._writer.write_eof()
        except OSError:
            return

    def close(self) -> None:
        """Hang up. What runs goes on."""
        self._writer.close()

    async def _ask(self, path: str, body: bytes) -> None:
        self._writer.write(
            f"POST {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nConnection: Upgrade\r\n"
            f"Upgrade: tcp\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(head[0].split(" ")[1])
            if status not in _UPGRADED:
                raise EngineError(await self._read_complaint(head[1:]))
        except (OSError, asyncio.IncompleteReadError, ValueError, IndexError):
            raise UnreachableError("the container engine gives no sensible answer") from None

    async def _read_complaint(self, head: list[str]) -> str:
        lengths = [line.partition(":")[2] for line in head if line.lower().startswith("content-length:")]
        text = await self._reader.readexactly(int(lengths[0])) if lengths else b""
        try:
            return str(json.loads(text)["message"])
        except (ValueError, KeyError, TypeError):
            return text.decode("utf-8", "replace") or "the container engine refused"


def check_address(address: str) -> str:
    """`address`, when it is one that we can speak to: a socket here, or TCP without TLS. Raises UsageError."""
    parts = urlsplit(address)
    if (parts.scheme == "unix" and parts.path) or (parts.scheme == "tcp" and parts.hostname):
        return address
    raise UsageError(
        f"'{address}' is no container engine that jobs can use",
        where="DOCKER_HOST",
        hint="name its socket, as in unix:///var/run/docker.sock: it must see this machine's folders",
    )


async def check_connection(address: str, reach: Reach | None = None) -> None:
    """Raises UnreachableError when nobody listens at `address`."""
    _reader, writer = await _connect(address, reach)
    writer.close()
    await writer.wait_closed()


def open_unix_socket(path: str, timeout_seconds: float | None = None) -> socket.socket:
    """A connection to whoever listens at `path`. Raises OSError when nobody does, and leaves nothing open then."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout_seconds)
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


async def _connect(address: str, reach: Reach | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(address)
    try:
        if reach is not None:
            connection = await asyncio.to_thread(reach)
            return await asyncio.open_unix_connection(sock=connection, limit=_BUFFER_BYTES)
        if parts.scheme == "unix":
            return await asyncio.open_unix_connection(parts.path, limit=_BUFFER_BYTES)
        return await asyncio.open_connection(parts.hostname, parts.port or _PORT, limit=_BUFFER_BYTES)
    except OSError as error:
        raise UnreachableError(
            f"no container engine answers: {error.strerror or error}",
            where=address,
            hint="install and start Docker and let this user use it (group docker), or name its socket in DOCKER_HOST",
        ) from None
