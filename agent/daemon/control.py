"""Answers `agent status`, `agent drain` and `agent reserve` on the control socket (`agent.daemon.local`)."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agent.daemon.drain import Draining
from agent.daemon.local import MAX_LINE_BYTES, listen_locally
from agent.daemon.state import StateFolder

Describe = Callable[[], Mapping[str, object]]
AnswerReservation = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, object]]]


class Control:
    """Serves the control socket; `describe` gives the answer to `status`, `reservations` those about GPUs that people keep."""

    def __init__(
        self, state: StateFolder, drain: Draining, describe: Describe, reservations: AnswerReservation
    ) -> None:
        self._reservations = reservations
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
            answer = await self._answer(await reader.readline())
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> Mapping[str, object]:
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
            case {"verb": "reserve" | "free" | "reservations"}:
                return await self._reservations(request)
            case _:
                return {"error": "unknown verb"}
