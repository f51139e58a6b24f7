"""The control socket of a running job: a unix socket in the job folder, one JSON object a line, one answer each.

{"kind": "cancel", "reason": TEXT}   end the job the usual way         -> {"ok": true}
{"kind": "ping"}                     who is there?                     -> {"ok": true, "pid": N}
"""

import asyncio
import json
import os
import socket
from collections.abc import Callable
from typing import Any

_MAX_LINE_BYTES = 1 << 16


class ControlServer:
    """Answers requests until it is closed. `on_cancel` is called with the reason."""

    def __init__(self, listener: socket.socket, on_cancel: Callable[[str], None]) -> None:
        self._listener = listener
        self._on_cancel = on_cancel
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
                writer.write(json.dumps(self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):  # gone, or a line without an end: nobody to answer
            return
        finally:
            writer.close()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            kind = request["kind"]
        except (ValueError, TypeError, KeyError):
            return {"ok": False, "error": "a request is a JSON object with a kind"}
        if kind == "cancel":
            self._on_cancel(str(request.get("reason", "")))
            return {"ok": True}
        if kind == "ping":
            return {"ok": True, "pid": os.getpid()}
        return {"ok": False, "error": f"unknown kind '{kind}'"}
