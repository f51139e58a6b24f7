"""The control socket of a running job: a unix socket in the job folder, one JSON object a line, one answer each.

{"kind": "cancel", "reason": TEXT}   end the job the usual way         -> {"ok": true}
{"kind": "ping"}                     who is there?                     -> {"ok": true, "pid": N}
{"kind": "attach", ...}              talk to a program beside the steps -> {"ok": true}, then frames: `agent.job.attach.frames`
{"kind": "attach", "app": NAME, ...} a connection to an app's port      -> {"ok": true} with it: `agent.job.apps.handing`
"""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

_MAX_LINE_BYTES = 1 << 16


Attach = Callable[[Mapping[str, Any], asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class ControlServer:
    """Answers requests until it is closed. `on_cancel` is called with the reason, `on_attach` has the connection from then on."""

    def __init__(self, listener: socket.socket, on_cancel: Callable[[str], None], on_attach: Attach) -> None:
        self._listener = listener
        self._on_cancel = on_cancel
        self._on_attach = on_attach
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Begin to answer, those first who have been waiting."""
        self._listener.setblocking(False)
        self._server = await asyncio.start_unix_server(
            self._serve, sock=self._listener, limit=_MAX_LINE_BYTES
        )

    def close(self) -> None:
        """Answer nobody any more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                request = _read_request(line)
                if request.get("kind") == "attach":
                    await self._on_attach(request, reader, writer)
                    return
                writer.write(json.dumps(self._answer(request)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):  # gone, or a line without an end: nobody to answer
            return
        finally:
            writer.close()

    def _answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        kind = request.get("kind")
        if kind == "cancel":
            self._on_cancel(str(request.get("reason", "")))
            return {"ok": True}
        if kind == "ping":
            return {"ok": True, "pid": os.getpid()}
        if kind is None:
            return {"ok": False, "error": "a request is a JSON object with a kind"}
        return {"ok": False, "error": f"unknown kind '{kind}'"}


def _read_request(line: bytes) -> Mapping[str, Any]:
    try:
        request = json.loads(line)
    except ValueError:
        return {}
    return request if isinstance(request, dict) else {}
