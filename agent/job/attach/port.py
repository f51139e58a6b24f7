"""The daemon's end of a connection to an app: asked for on the job's control socket, where it comes as an open file."""

import asyncio
import json
import os
import socket
import stat
from collections.abc import Mapping
from typing import Self

from agent.errors import AgentError
from agent.job.attach.client import Ended, Output
from agent.job.folder.attempt import JobFolder, reach_control

_GONE = "the job has ended"
_ANSWER_BYTES = 16 << 10
_ANSWER_SECONDS = 20.0


class PortConnection:
    """An open connection. It talks as an `Attachment` does; to `close` it is to hang up."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, frame_bytes: int) -> None:
        self._reader = reader
        self._writer = writer
        self._frame_bytes = frame_bytes

    @classmethod
    async def open(cls, folder: JobFolder, request: Mapping[str, object], frame_bytes: int) -> Self:
        """Ask the job in `folder`; pieces that are received have at most `frame_bytes`. Raises AgentError when there is none."""
        line = json.dumps({"kind": "attach", **request}).encode() + b"\n"
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                connection = await _ask(folder, line)
        except OSError:  # TimeoutError is one
            raise AgentError(_GONE) from None
        reader, writer = await asyncio.open_connection(sock=connection, limit=4 * frame_bytes)
        return cls(reader, writer, frame_bytes)

    async def receive(self) -> Output | Ended:
        """What comes next."""
        try:
            data = await self._reader.read(self._frame_bytes)
        except OSError:
            return Ended(None, "the app broke the connection")
        return Output(1, data) if data else Ended(0, "")

    async def send(self, data: bytes = b"", *, is_end: bool = False, rows: int = 0, columns: int = 0) -> None:
        """Bytes for the app, or their end; returns when there is room for more. A port has no rows and columns."""
        del rows, columns
        try:
            if data:
                self._writer.write(data)
            if is_end and self._writer.can_write_eof():
                self._writer.write_eof()
            await self._writer.drain()
        except (OSError, RuntimeError):  # it has ended: `receive` says so
            return

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def _ask(folder: JobFolder, line: bytes) -> socket.socket:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        with reach_control(folder) as path:
            await loop.sock_connect(asking, path)
        await loop.sock_sendall(asking, line)
        await _readable(asking)
        data, files, _flags, _address = socket.recv_fds(asking, _ANSWER_BYTES, 1)
    if files:
        return _take_socket(files[0])
    try:
        answer = json.loads(data)
    except ValueError:
        raise AgentError(_GONE) from None
    said = answer.get("error") if isinstance(answer, dict) else None
    raise AgentError(str(said or _GONE))


def _take_socket(file: int) -> socket.socket:
    """The connection that was handed over. The job may have put a socket of its own there: it hands over a socket, or nothing."""
    if not stat.S_ISSOCK(os.fstat(file).st_mode):
        os.close(file)
        raise AgentError(_GONE)
    connection = socket.socket(fileno=file)
    if connection.type != socket.SOCK_STREAM or connection.family not in (socket.AF_INET, socket.AF_INET6):
        connection.close()
        raise AgentError(_GONE)
    connection.setblocking(False)
    return connection


async def _readable(waiting: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(waiting, settle)
    try:
        await ready
    finally:
        loop.remove_reader(waiting)
