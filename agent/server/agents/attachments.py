"""The sessions of people who are attached to jobs, or use their apps, on the connection of the jobs' agent.

What the agent says of a session waits in a queue that the window of `agent.wire.sessions` bounds: nobody's slow terminal holds
up the connection.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from agent.errors import AgentError
from agent.ids import ENTROPY_BYTES, make_id
from agent.server.people.auth.tickets import Ticket
from agent.server.process.problems import ConflictError
from agent.wire import messages as m
from agent.wire.server_side import ServerProtocol

MOST_SESSIONS = 16  # with jobs of one agent at a time
MOST_PORT_SESSIONS = 256  # and with ports of apps
MOST_PORT_SESSIONS_OF_JOB = 96  # of those, with one job: several browsers, with some thirty each

Said = m.AttachOpened | m.AttachOutput | m.AttachEnded
SessionEvent = Said | m.AttachTaken


class ViewerSession:
    """One session."""

    def __init__(
        self,
        asked: m.Attach,
        protocol: ServerProtocol,
        flush: Callable[[], None],
        wait_for_line: Callable[[], Awaitable[None]],
    ) -> None:
        self.asked = asked
        self._session = asked.session
        self._protocol = protocol
        self._flush = flush
        self._wait_for_line = wait_for_line
        self._said: asyncio.Queue[Said] = asyncio.Queue()
        self._has_room = asyncio.Event()
        self._untold = 0  # frames that are taken
        self.has_ended = False  # as the agent says

    @property
    def frame_bytes(self) -> int:
        """How much a frame of its input may hold."""
        return m.PORT_FRAME_BYTES if self.asked.app else m.ATTACH_FRAME_BYTES

    async def receive(self) -> Said:
        """What the agent says next; `took` lets more output come."""
        return await self._said.get()

    def took(self) -> None:
        """A frame of output is out of our hands. Some are told together: most of the window is free all the while."""
        self._untold += 1
        if self._untold >= m.TAKEN_TOGETHER:
            self._protocol.attach_taken(self._session, self._untold)
            self._untold = 0
            self._flush()

    async def send(self, wanted: m.AttachInput) -> None:
        """Input; returns when it is on its way, or the session over."""
        while self._protocol.attach_room(self._session) == 0:
            self._has_room.clear()
            await self._has_room.wait()
        self._protocol.attach_input(replace(wanted, session=self._session))
        self._flush()
        await self._wait_for_line()

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
            self.has_ended = True
            self._has_room.set()


def make_attach(ticket: Ticket) -> m.Attach:
    """What the agent is asked for. An app's ticket is for many sessions: each has a name of its own."""
    session = make_id("attach", secrets.token_bytes(ENTROPY_BYTES)) if ticket.app else ticket.session
    terminal = None if ticket.terminal is None else m.Terminal(**ticket.terminal)
    return m.Attach(
        *(session, ticket.job, ticket.lease, ticket.name, ticket.address),
        tuple(ticket.command),
        terminal,
        ticket.is_resume,
        ticket.app,
    )


def cut(data: bytes, size: int) -> Iterator[bytes]:
    """`data` in pieces of at most `size` bytes."""
    return (data[start : start + size] for start in range(0, len(data), size))


class AgentSessions:
    """The sessions on one agent's connection."""

    def __init__(
        self,
        protocol: ServerProtocol,
        flush: Callable[[], None],
        wait_for_line: Callable[[], Awaitable[None]],
    ) -> None:
        self._protocol = protocol
        self._flush = flush
        self._wait_for_line = wait_for_line
        self._open: dict[str, ViewerSession] = {}

    def open(self, asked: m.Attach, agent_name: str) -> ViewerSession:
        """Begin a session. Raises AgentError when there can be none."""
        if not (self._protocol.can_reach_apps if asked.app else self._protocol.can_attach):
            raise AgentError(
                f"the agent on {agent_name} is too old " + ("for apps of jobs" if asked.app else "to attach"),
                hint="update it: its jobs go on meanwhile",
            )
        self._check_room(asked, agent_name)
        self._protocol.attach(asked)
        if self._protocol.attach_room(asked.session) is None:
            raise ConflictError("the job has ended, or its agent has not come back to it yet")
        attachment = self._open[asked.session] = ViewerSession(
            asked, self._protocol, self._flush, self._wait_for_line
        )
        self._flush()
        return attachment

    def _check_room(self, asked: m.Attach, agent_name: str) -> None:
        """Raises ConflictError. Shells and apps have room of their own: neither keeps the other out."""
        alike = [one.asked for one in self._open.values() if bool(one.asked.app) == bool(asked.app)]
        if not asked.app and len(alike) >= MOST_SESSIONS:
            raise ConflictError(f"{MOST_SESSIONS} are attached to jobs of {agent_name} already")
        of_job = sum(other.job == asked.job for other in alike)
        if asked.app and (len(alike) >= MOST_PORT_SESSIONS or of_job >= MOST_PORT_SESSIONS_OF_JOB):
            raise ConflictError(
                f"{of_job} connections to the job's apps are open, and {len(alike)} to all of {agent_name}'s",
                hint=f"a job may have {MOST_PORT_SESSIONS_OF_JOB} at a time, an agent {MOST_PORT_SESSIONS}",
            )

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
