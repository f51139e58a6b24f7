"""The server processes on one database, none of them the leader.

Each says every few seconds that it lives, and holds the connections of some agents. An agent's connections are
numbered: with a newer one, wherever it is, the older ones end. A server that was silent for too long is taken for dead
by the others, and its agents for disconnected; they connect again to whoever answers. What became of leases meanwhile
each server sees for itself (`agent.wire.lease_watch`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import msgspec

from agent import __version__
from agent.server.agents.scheduler import ReadyAgent
from agent.server.events.changes import Change, Changes
from agent.server.events.live import agent_topic
from agent.server.store import fleet
from agent.server.store.database import Connection
from agent.server.store.failures import UnavailableError
from agent.server.store.fleet import ServerRow
from agent.server.store.locks import lock_name
from agent.server.store.outage import Outage

log = logging.getLogger("agent.server")

BEAT_SECONDS = 5.0


class Peers:
    """This server process among the others."""

    def __init__(self, process: str, changes: Changes) -> None:
        self.process = process
        self._changes = changes
        self._address = ""
        self._gone: dict[str, int] = {}  # connections that ended while the database was away

    async def join(self, address: str) -> None:
        """Begin to serve at `address`. An embedded server is alone: what was before it is over."""
        self._address = address
        async with self._changes.begin() as change:
            await lock_name(change.connection, "fleet")
            is_alone = not self._changes.database.is_shared
            before = float("inf") if is_alone else self._dead_before(change.now)
            await fleet.remove_servers(change.connection, before=before)
            await self._add(change)

    async def leave(self) -> None:
        """Serve no more: our agents are nobody's until they connect again."""
        try:
            async with self._changes.begin() as change:
                await fleet.remove_servers(change.connection, server=self.process)
                change.wake_queue()
        except UnavailableError as error:
            log.warning("the other servers could not be told that this one stops: %s", error)

    async def run(self, on_lost: Callable[[], None]) -> None:
        """Say again and again that we live, until cancelled. `on_lost`: the others took us for dead; our agents go."""
        outage = Outage(log, "the heartbeats")
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            with outage:  # without heartbeat we would be taken for dead
                await self._say_gone()
                if self._changes.database.is_shared and not await self._beat():
                    log.error("the other servers took this one for dead; its agents connect again")
                    on_lost()

    async def _beat(self) -> bool:
        async with self._changes.begin() as change:
            await lock_name(change.connection, "fleet")
            is_known = await fleet.note_heartbeat(change.connection, self.process, change.now)
            if not is_known:
                await self._add(change)
            if await fleet.remove_servers(change.connection, before=self._dead_before(change.now)):
                change.wake_queue()
            return is_known

    async def _add(self, change: Change) -> None:
        row = ServerRow(self.process, self._address, f"flow-agent/{__version__}", change.now, change.now)
        await fleet.add_server(change.connection, row)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One server at a time gives out jobs; who comes next sees what the one before has done."""
        async with self._changes.database.hold("the queue"):
            yield

    # Connections

    async def connect(self, agent: str) -> int | None:
        """The agent has proved itself here: the number of its connection. None when it was removed."""
        async with self._changes.begin() as change:
            change.wake(agent_topic(agent))
            return await fleet.connect_agent(change.connection, agent, self.process)

    async def runs_elsewhere(self, agent: str, boot: str) -> bool:
        """Whether the agent is at work from another start of its machine than `boot`: whoever says so is a copy of it.

        Or its machine was started again, and the old connection has not been found dead yet: then for some seconds only.
        """
        if not boot:
            return False
        async with self._changes.database.read() as connection:
            since = self._dead_before(self._changes.clock.now())
            text = await fleet.find_readiness(connection, agent, since)
        return text is not None and msgspec.json.decode(text, type=ReadyAgent).boot not in {"", boot}

    async def disconnect(self, agent: str, number: int) -> None:
        """The agent's connection is over. When the database is away, that is said later."""
        self._gone[agent] = number
        try:
            await self._say_gone()
        except UnavailableError as error:
            log.warning("the end of %s's connection is to be noted later: %s", agent, error)

    async def _say_gone(self) -> None:
        """Note all ends that nobody is noting, in one change: when a server stops, all of them come at once."""
        gone, self._gone = self._gone, {}
        if not gone:
            return
        try:
            async with self._changes.begin() as change:
                for agent, number in sorted(gone.items()):
                    if await fleet.disconnect_agent(change.connection, agent, number):
                        change.wake_queue()
        except BaseException:
            self._gone = gone | self._gone
            raise

    async def note_ready(self, agent: str, number: int, ready: ReadyAgent) -> bool:
        """What the agent can be given, for the other servers; False when a newer connection of it counts."""
        async with self._changes.begin() as change:
            change.wake_queue()
            text = msgspec.json.encode(ready).decode()
            return await fleet.note_readiness(change.connection, agent, number, text)

    # Reading

    async def ready_elsewhere(self, connection: Connection) -> list[ReadyAgent]:
        """The agents that the other servers can give jobs to."""
        if not self._changes.database.is_shared:
            return []
        since = self._dead_before(self._changes.clock.now())
        found = await fleet.list_ready(connection, besides=self.process, since=since)
        return [msgspec.json.decode(text, type=ReadyAgent) for text in found]

    async def connected(self, connection: Connection) -> Mapping[str, str]:
        """The agents that are connected to any server: to which process each."""
        return await fleet.list_connected(connection, self._dead_before(self._changes.clock.now()))

    async def find_holder(self, connection: Connection, agent: str) -> str | None:
        """Where the server that holds the agent's connection is reached: empty for this one; None when none does."""
        holder = (await self.connected(connection)).get(agent)
        if holder is None or holder == self.process:
            return None if holder is None else ""
        return await fleet.find_address(connection, holder)

    def _dead_before(self, now: float) -> float:
        """Whose last heartbeat was before that is dead. An embedded server has no heartbeat."""
        return now - fleet.SILENT_SECONDS if self._changes.database.is_shared else float("-inf")
