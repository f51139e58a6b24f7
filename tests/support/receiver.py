"""A receiver of webhooks on the loopback interface, that fails on command."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any


@dataclass
class Request:
    """One that came."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """What is answered. `is_cut`: the connection ends instead; `is_endless`: the body never does; `is_silent`: nothing comes."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    is_cut: bool = False
    is_endless: bool = False
    is_silent: bool = False


class Receiver:
    """What came, and what is answered: `replies` one after the other, then `answer`'s."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.replies: list[Reply] = []
        self.answer: Callable[[Request], Reply] = lambda _request: Reply()
        self.connections = 0
        self.at_once = 0
        self.most_at_once = 0
        self.gate: asyncio.Event | None = None  # while it is there and not set, nothing is answered
        self.came = asyncio.Condition()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while line := await reader.readline():
                request = await self._read(line, reader, number)
                self.requests.append(request)
                async with self.came:
                    self.came.notify_all()
                reply = self.replies.pop(0) if self.replies else self.answer(request)
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                try:
                    if self.gate is not None:
                        await self.gate.wait()
                    if reply.is_cut:
                        break
                    await self._write(writer, request, reply)
                finally:
                    self.at_once -= 1
        writer.close()

    async def wait_for(self, count: int) -> None:
        """Return when so many requests have come."""
        async with self.came:
            await self.came.wait_for(lambda: len(self.requests) >= count)

    async def _read(self, line: bytes, reader: asyncio.StreamReader, number: int) -> Request:
        method, target, _version = line.decode().split()
        headers: list[tuple[str, str]] = []
        while (head := (await reader.readline()).decode().strip()) != "":
            name, _, value = head.partition(":")
            headers.append((name, value.strip()))
        request = Request(method, target, headers, b"", number)
        request.body = await reader.readexactly(int(request.header("Content-Length") or 0))
        return request

    async def _write(self, writer: asyncio.StreamWriter, request: Request, reply: Reply) -> None:
        if reply.is_silent:
            await asyncio.Event().wait()
        reason = HTTPStatus(reply.status).phrase
        length = "Transfer-Encoding: chunked" if reply.is_endless else f"Content-Length: {len(reply.body)}"
        own = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
        writer.write(f"HTTP/1.1 {reply.status} {reason}\r\n{own}{length}\r\n\r\n".encode())
        while reply.is_endless:
            writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            await writer.drain()
        if request.method != "HEAD":
            writer.write(reply.body)
        await writer.drain()


@contextlib.asynccontextmanager
async def running_receiver() -> AsyncIterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield receiver
    finally:
        server.close()
