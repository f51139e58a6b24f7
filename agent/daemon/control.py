"""Answers `agent status` and `agent drain` on the control socket (`agent.daemon.local`)."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from agent.daemon.drain import Draining
from agent.daemon.local import MAX_LINE_BYTES, listen_locally
from agent.daemon.state import StateFolder

Describe = Callable[[], Mapping[str, object]]


class Control:
    """Serves the control socket; `describe` gives the answer to `status`."""

    def __init__(self, state: StateFolder, drain: Draining, describe: Describe) -> None:
        self._state = state
        self._drain = drain
        self._describe = describe

    async def serve(self) -> None:
        """Serve until cancelled; the socket is gone then."""
        listener = listen_locally(self._state)
        try:
            async with await asyncio.start_unix_server(self._converse, sock=listener, limit=MAX_LINE_BYTES):
                await asyncio.Event().wait()
        finally:
            self._state.socket.unlink(missing_ok=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError):  # who asked has gone, or sent a line without an end
            answer = self._answer(await reader.readline())
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    def _answer(self, line: bytes) -> Mapping[str, object]:
        try:
            request: Any = json.loads(line)
        except ValueError:
            return {"error": "not JSON"}
        match request:
            case {"verb": "status"}:
                return self._describe()
            case {"verb": "drain", "is_draining": bool(is_draining)}:
                self._drain.set(is_draining=is_draining)
                return self._describe()
            case _:
                return {"error": "unknown verb"}
