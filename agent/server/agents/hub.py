"""The agents that are connected: one connection each, a second one of the same identity replaces the first.

No agent can hold up another: what goes out is queued, and a connection whose queue is full is dropped; what comes in
is bounded by the window that the agent was granted. What a connection says is worked off in `agent.server.agents.connection`.
"""

from agent.server.agents.attachments import AgentSessions
from agent.server.agents.connection import AgentConnection
from agent.server.agents.scheduler import ReadyAgent
from agent.server.events.live import QUEUE, Bus
from agent.wire import messages as m


class Hub:
    """Connections by agent."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._connections: dict[str, AgentConnection] = {}
        self._unproven: set[AgentConnection] = set()

    def may_enter(self, most_unproven: int) -> bool:
        """Whether there is room for one more connection that has not proved anything yet."""
        return len(self._unproven) < most_unproven

    def enter(self, connection: AgentConnection) -> None:
        """A connection begins."""
        self._unproven.add(connection)

    def add(self, agent: str, connection: AgentConnection) -> None:
        """`connection` has proved to be `agent`'s; an older one ends."""
        self._unproven.discard(connection)
        older = self._connections.get(agent)
        self._connections[agent] = connection
        if older is not None:
            older.reject("replaced", "this agent has connected a second time")

    def leave(self, connection: AgentConnection) -> None:
        """`connection` is over; one that replaced it stays."""
        self._unproven.discard(connection)
        if self._connections.get(connection.agent) is connection:
            del self._connections[connection.agent]
            self._bus.wake(QUEUE)

    def ready_agents(self) -> list[ReadyAgent]:
        """The agents that jobs may be given to."""
        return [connection.ready for connection in self._connections.values() if connection.ready is not None]

    def assign(self, agent: str, message: m.Assign) -> bool:
        """Offer a job over the agent's connection; False when there is none any more."""
        connection = self._connections.get(agent)
        return connection is not None and connection.assign(message)

    def has_assigned(self, agent: str, job: str, lease: int) -> bool:
        """Whether the agent was sent the job on its present connection."""
        connection = self._connections.get(agent)
        return connection is not None and (job, lease) in connection.assigned

    def forming(self) -> dict[tuple[str, int], str]:
        """The nodes of gangs, as (job, lease), that wait on their agents for the word to begin."""
        return {
            lease: agent for agent, connection in self._connections.items() for lease in connection.forming
        }

    def sessions_of(self, agent: str) -> AgentSessions | None:
        """The attached sessions with the agent, when it is connected here and works."""
        connection = self._connections.get(agent)
        return None if connection is None or connection.ready is None else connection.sessions

    async def refresh(self, agent: str) -> None:
        """There is a new word on what the agent may be given; on other servers it is heard a moment later."""
        connection = self._connections.get(agent)
        if connection is not None:
            await connection.refresh()

    def begin(self, agent: str, job: str, lease: int) -> None:
        """All nodes of the gang are there: this one may begin."""
        connection = self._connections.get(agent)
        if connection is not None:
            connection.begin(job, lease)

    def cancel(self, agent: str, job: str, lease: int, reason: str, *, interrupts: bool = False) -> None:
        """Ask the agent to end the job. Without a connection nothing is sent: it is told when it comes back."""
        connection = self._connections.get(agent)
        if connection is not None:
            connection.cancel(job, lease, reason, interrupts=interrupts)

    def revoke(self, agent: str, job: str, lease: int, reason: str) -> None:
        """Tell the agent, when it is connected, that the lease is over."""
        connection = self._connections.get(agent)
        if connection is not None:
            connection.revoke(job, lease, reason)

    def reject(self, agent: str, code: str, message: str) -> None:
        """End the agent's connection, if it has one."""
        connection = self._connections.get(agent)
        if connection is not None:
            connection.reject(code, message)

    def reject_all(self, code: str, message: str) -> None:
        """End all connections: the server is stopping."""
        for connection in list(self._connections.values()):
            connection.reject(code, message)
