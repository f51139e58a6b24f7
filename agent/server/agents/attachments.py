"""The sessions of people who are attached to jobs, on the connection of the jobs' agent.

What the agent says of a session waits in a queue that the window of `agent.wire.sessions` bounds: nobody's slow terminal holds
up the connection.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from agent.errors import AgentError
from agent.server.process.problems import ConflictError
from agent.wire import messages as m
from agent.wire.server_side import ServerProtocol

MOST_SESSIONS = 16  # with jobs of one agent at a time

Said = m.AttachOpened | m.AttachOutput | m.AttachEnded
SessionEvent = Said | m.AttachTaken


class ViewerSession:
    """One session."""

    def __init__(self, session: str, protocol: ServerProtocol, flush: Callable[[], None]) -> None:
        self._session = session
        self._protocol = protocol
        self._flush = flush
        self._said: asyncio.Queue[Said] = asyncio.Queue()
        self._has_room = asyncio.Event()

    async def receive(self) -> Said:
        """What the agent says next; `took` lets more output come."""
        return await self._said.get()

    def took(self) -> None:
        """A frame of output is out of our hands."""
        self._protocol.attach_taken(self._session, 1)
        self._flush()

    async def send(self, wanted: m.AttachInput) -> None:
        """Input; returns when it is on its way, or the session over."""
        while self._protocol.attach_room(self._session) == 0:
            self._has_room.clear()
            await self._has_room.wait()
        self._protocol.attach_input(replace(wanted, session=self._session))
        self._flush()

    def leave(self) -> None:
        """Whoever was attached has gone; saying it after the end does no harm."""
        self._protocol.attach_leave(self._session)
        self._flush()

    def hear(self, event: SessionEvent) -> None:
        """The agent has said something."""
        if isinstance(event, m.AttachTaken):
            self._has_room.set()
            return
        self._said.put_nowait(event)
        if isinstance(event, m.AttachEnded):
            self._has_room.set()


class AgentSessions:
    """The sessions on one agent's connection."""

    def __init__(self, protocol: ServerProtocol, flush: Callable[[], None]) -> None:
        self._protocol = protocol
        self._flush = flush
        self._open: dict[str, ViewerSession] = {}

    def open(self, asked: m.Attach, agent_name: str) -> ViewerSession:
        """Begin a session. Raises AgentError when there can be none."""
        if not self._protocol.can_attach:
            raise AgentError(
                f"the agent on {agent_name} is too old to attach",
                hint="update it: its jobs go on meanwhile",
            )
        if len(self._open) >= MOST_SESSIONS:
            raise ConflictError(f"{MOST_SESSIONS} are attached to jobs of {agent_name} already")
        self._protocol.attach(asked)
        if self._protocol.attach_room(asked.session) is None:
            raise ConflictError("the job has ended, or its agent has not come back to it yet")
        attachment = self._open[asked.session] = ViewerSession(asked.session, self._protocol, self._flush)
        self._flush()
        return attachment

    def close(self, session: str) -> None:
        """Forget a session."""
        self._open.pop(session, None)

    def hear(self, event: SessionEvent) -> None:
        """The agent has said something."""
        attachment = self._open.get(event.session)
        if attachment is not None:
            attachment.hear(event)

    def end_all(self, message: str) -> None:
        """The connection is over."""
        for session, attachment in list(self._open.items()):
            attachment.hear(m.AttachEnded(session, None, message))
