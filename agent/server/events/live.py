"""Wake-ups: who waits for a change, in this process or another, is told that there is one, and reads it from the store.

A wake-up carries nothing. One that comes between reading and waiting is not lost; several become one.
"""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from agent.server.store.database import Connection
from agent.server.store.engines import Where
from agent.server.store.notifications import hear_notifications, notify

QUEUE = "queue"  # something that the dispatcher looks at has changed
TIMERS = "timers"  # a run wants to be woken at another time than before
DEPLOYMENTS = "deployments"  # one has changed, or a run has ended that may be one's
MACHINES = "machines"  # what an agent's machine has is something else than before
GROUPS = "groups"  # letters to or from the keeper of the concurrency groups


def run_topic(run: int) -> str:
    """What a viewer of a run listens on."""
    return f"run:{run}"


def project_topic(project: int) -> str:
    """What a viewer of all runs of a project listens on."""
    return f"project:{project}"


def agent_topic(agent: str) -> str:
    """What the holder of an agent's connection listens on: what the agent must hear has changed."""
    return f"agent:{agent}"


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

    def take(self) -> bool:
        """Whether there was a wake-up since the last time; not waited for."""
        is_set = self._event.is_set()
        self._event.clear()
        return is_set

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
    def listen(self, *topics: str) -> Iterator[Listener]:
        """A listener that hears these for as long as the block runs."""
        listener = Listener()
        for topic in topics:
            self._listeners.setdefault(topic, set()).add(listener)
        try:
            yield listener
        finally:
            for topic in topics:
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
        self.wake_all()

    def wake_all(self) -> None:
        """Whatever may have happened meanwhile: everybody looks."""
        for topic in list(self._listeners):
            self.wake(topic)


class SharedBus(Bus):
    """The wake-ups of several processes on one database; `process` is this one's name."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    async def announce(self, connection: Connection, topics: Collection[str]) -> None:
        """Let the other processes hear of `topics` when the transaction on `connection` is committed."""
        if topics:
            await notify(connection, self._process, topics)

    async def run(self, where: Where) -> None:
        """Hear the others until cancelled."""
        await hear_notifications(where, self._hear, self.wake_all)

    def _hear(self, sender: str, topics: list[str]) -> None:
        if sender != self._process:  # its own it has woken itself
            for topic in topics:
                self.wake(topic)
