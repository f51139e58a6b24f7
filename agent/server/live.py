"""Wake-ups inside the process: who waits for a change is told that there is one, and reads it from the store.

A wake-up carries nothing. One that comes between reading and waiting is not lost; several become one.
"""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from agent.server.store.database import Connection

QUEUE = "queue"  # something that the dispatcher looks at has changed


def run_topic(run: int) -> str:
    """What a viewer of a run listens on."""
    return f"run:{run}"


def project_topic(project: int) -> str:
    """What a viewer of all runs of a project listens on."""
    return f"project:{project}"


def job_topic(job: str) -> str:
    """What a viewer of a job's output listens on."""
    return f"job:{job}"


class Listener:
    """One waiting party. Read the store after each `wait`, and once before the first."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        """There is something new."""
        self._event.set()

    async def wait(self, timeout_seconds: float) -> bool:
        """True after a wake-up, False when none came in time."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class Bus:
    """The wake-ups of one process, by topic."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[Listener]] = {}
        self.is_closing = False

    @contextmanager
    def listen(self, topic: str) -> Iterator[Listener]:
        """A listener that hears `topic` for as long as the block runs."""
        listener = Listener()
        self._listeners.setdefault(topic, set()).add(listener)
        try:
            yield listener
        finally:
            self._listeners[topic].discard(listener)
            if not self._listeners[topic]:
                del self._listeners[topic]

    def wake(self, topic: str) -> None:
        """Tell everybody who listens on `topic`."""
        for listener in self._listeners.get(topic, ()):
            listener.wake()

    async def announce(self, connection: Connection, topics: Collection[str]) -> None:
        """Let other processes hear of `topics` when the transaction on `connection` is committed. There are none."""

    def close(self) -> None:
        """The server is stopping: streams end, so that their viewers come back later."""
        self.is_closing = True
        for topic in list(self._listeners):
            self.wake(topic)
