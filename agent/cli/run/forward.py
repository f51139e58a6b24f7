"""`agent run forward`: a port of this machine that leads to an app of a job, through the server.

Each connection to it is a websocket to the server, under a ticket that is renewed while it is needed.
"""

import asyncio
import json
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from agent.cli.client import Client
from agent.cli.terminal.tables import plain
from agent.errors import AgentError

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

_FRAME_BYTES = 32 << 10
_OPEN_SECONDS = 30.0
_EARLY_SECONDS = 10.0  # a ticket is renewed so long before its end
_ADDRESS = "127.0.0.1"


def forward(client: Client, app: Mapping[str, Any], port: int | None, *, output_format: str = "text") -> int:
    """Hand connections to the app until ctrl-C or SIGTERM; the exit code. Raises AgentError."""
    return asyncio.run(_Forwarding(client, app).run(port, output_format))


class _Forwarding:
    def __init__(self, client: Client, app: Mapping[str, Any]) -> None:
        self._client = client
        self._app = app
        self._ticket: Mapping[str, Any] = {}
        self._until = 0.0
        self._renewing = asyncio.Lock()
        self._said = ""

    async def run(self, port: int | None, output_format: str) -> int:
        await self._find_ticket()  # who may not is told before anything listens
        listener = _listen(port, self._app["port"])
        server = await asyncio.start_server(self._serve, sock=listener, limit=4 * _FRAME_BYTES)
        url = f"http://{_ADDRESS}:{listener.getsockname()[1]}"
        if output_format == "json":
            said = {"url": url, "app": self._app["name"], "job": self._app["job"]}
            sys.stdout.write(json.dumps(said) + "\n")
        else:
            sys.stdout.write(
                f"{url} leads to the app {plain(self._app['job'])}/{plain(self._app['name'])}; ctrl-C ends it\n"
            )
        sys.stdout.flush()
        is_over = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, is_over.set)
        await is_over.wait()
        server.close()
        return 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection. What is wrong with it is said once as long as it stays the same; the next one may go better."""
        try:
            await self._converse(reader, writer)
        except AgentError as error:
            if str(error) != self._said:
                self._said = str(error)
                sys.stderr.write(f"agent: {plain(str(error))}\n")
                sys.stderr.flush()
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        ticket = await self._find_ticket()
        parts = urlsplit(self._client.url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        url = urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + ticket["path"], "", ""))
        headers = {"Authorization": f"Bearer {ticket['ticket']}"}
        try:
            async with connect(
                url, additional_headers=headers, compression=None, open_timeout=_OPEN_SECONDS, close_timeout=2
            ) as socket:
                await _pass_on(reader, writer, socket)
        except (OSError, WebSocketException) as error:
            self._until = 0.0  # the next connection asks anew
            raise AgentError(
                f"the connection to the server was lost: {error}", where=self._client.url
            ) from None
        self._said = ""

    async def _find_ticket(self) -> Mapping[str, Any]:
        async with self._renewing:
            if time.monotonic() >= self._until:
                path, body = f"/api/v1/jobs/{self._app['job_id']}/attach", {"app": self._app["name"]}
                self._ticket = await asyncio.to_thread(self._client.post, path, body)
                self._until = time.monotonic() + self._ticket["expires_seconds"] - _EARLY_SECONDS
            return self._ticket


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, socket: "ClientConnection"
) -> None:
    """Until the app, or whoever came, hangs up. Raises AgentError when there is no app."""
    sending = asyncio.ensure_future(_send(reader, socket))
    receiving = asyncio.ensure_future(_receive(socket, writer))
    try:
        await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done() and sending.exception() is None:
            await receiving  # the app may go on speaking
        elif receiving.done():
            receiving.result()
    finally:
        for task in (sending, receiving):
            task.cancel()
        await asyncio.wait({sending, receiving})


async def _send(reader: asyncio.StreamReader, socket: "ClientConnection") -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_FRAME_BYTES):
            await socket.send(data)
    await socket.send('{"kind": "end"}')


async def _receive(socket: "ClientConnection", writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while True:
            frame = await socket.recv()
            if isinstance(frame, bytes):
                writer.write(frame[1:])
                await writer.drain()
                continue
            said = json.loads(frame)
            if said["kind"] == "ended" and said["exit_code"] is None:
                raise AgentError(said["message"], hint=said["hint"])
            if said["kind"] == "ended":
                return


def _listen(wanted: int | None, preferred: int) -> socket.socket:
    """A listener at the port that was asked for, else at the app's own where that is free, else anywhere."""
    for port in (preferred, 0) if wanted is None else (wanted,):
        try:
            return socket.create_server((_ADDRESS, port))
        except OSError as error:
            failure = error
    raise AgentError(
        f"can't listen there: {failure.strerror}", where=f"{_ADDRESS}:{wanted}", hint="choose another --port"
    )
