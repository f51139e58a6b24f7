"""Draining: no new jobs, those that run go on. It is a file, so that it holds over a restart of the daemon."""

import asyncio

from agent.daemon.connection import Connection
from agent.daemon.state import StateFolder


class Draining:
    """Whether this agent takes new jobs."""

    def __init__(self, state: StateFolder) -> None:
        self._state = state
        self._changed = asyncio.Event()

    @property
    def is_draining(self) -> bool:
        """Whether new jobs are refused."""
        return self._state.is_draining

    def set(self, *, is_draining: bool) -> None:
        """Begin or end draining; the server is told over the connection that there is, or by the next `ready`."""
        self._state.set_draining(is_draining=is_draining)
        self._changed.set()

    async def tell(self, connection: Connection) -> None:
        """Tell the server of each change, as long as `connection` lives."""
        while True:
            self._changed.clear()
            await self._changed.wait()
            connection.protocol.drain(is_draining=self.is_draining)
            await connection.flush()
