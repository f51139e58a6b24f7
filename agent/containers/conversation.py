"""A program in a container that somebody talks to, by way of the Docker engine."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from agent.containers.attach import OutputStream
from agent.containers.engine import EngineError

_RESIZE_TRIES = 10
_RESIZE_PAUSE_SECONDS = 0.02


class DockerConversation:
    """A `Conversation` (agent.containers.engine)."""

    def __init__(
        self,
        stream: OutputStream,
        resize: Callable[..., Awaitable[Any]],
        exit_code: Callable[[], Awaitable[int]],
        *,
        is_terminal: bool,
    ) -> None:
        self._stream = stream
        self._resize = resize
        self._exit_code = exit_code
        self._is_terminal = is_terminal

    async def receive(self) -> tuple[int, bytes] | None:
        """See Conversation."""
        return await self._stream.receive(is_terminal=self._is_terminal)

    async def send(self, data: bytes) -> None:
        """See Conversation."""
        await self._stream.send(data)

    def end_input(self) -> None:
        """See Conversation."""
        self._stream.end_input()

    async def resize(self, rows: int, columns: int) -> None:
        """See Conversation."""
        for _ in range(_RESIZE_TRIES):
            with contextlib.suppress(EngineError):  # it has not quite begun, or has ended
                await self._resize(height=rows, width=columns)
                return
            await asyncio.sleep(_RESIZE_PAUSE_SECONDS)

    async def exit_code(self) -> int:
        """See Conversation."""
        return await self._exit_code()

    def close(self) -> None:
        """See Conversation."""
        self._stream.close()
