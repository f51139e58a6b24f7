"""People who are attached to jobs of this machine, or use their apps: what the server's messages say goes to the
supervisor's socket or the app's port, and back.

A session lives as long as the connection on which it was asked for. Each reads no faster than its window allows, so that
none holds up another, a journal or a heartbeat.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from agent.daemon.connection import Connection
from agent.errors import AgentError
from agent.job.attach.client import Attachment, Ended
from agent.job.attach.port import PortConnection
from agent.job.launch.launcher import JobFolder
from agent.wire import messages as m

MOST_SESSIONS = 16  # of one agent at a time
MOST_PORT_SESSIONS = 256  # and connections to apps

log = logging.getLogger("agent.daemon")
Talk = Attachment | PortConnection
FindRunning = Callable[[str, int], Awaitable[JobFolder | None]]


@dataclass(slots=True)
class _Session:
    asked: m.Attach
    inputs: asyncio.Queue[m.AttachInput] = field(default_factory=asyncio.Queue)  # bounded by the window
    has_room: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class OpenSessions:
    """All sessions of this agent."""

    def __init__(self, find_running: FindRunning) -> None:
        self._find_running = find_running
        self._sessions: dict[str, _Session] = {}

    async def run(self, connection: Connection) -> None:  # noqa: ARG002 - a crew member is given it
        """Until cancelled, for as long as a connection lives: then its sessions are over."""
        try:
            await asyncio.Event().wait()
        finally:
            for session in tuple(self._sessions):
                self._leave(session)

    def obey(self, message: m.ServerMessage, connection: Connection) -> None:
        """Act upon one message; those that are not about sessions are somebody else's."""
        match message:
            case m.Attach():
                self._begin(message, connection)
            case m.AttachInput():
                if (session := self._sessions.get(message.session)) is not None:
                    session.inputs.put_nowait(message)
            case m.AttachTaken():
                if (session := self._sessions.get(message.session)) is not None:
                    session.has_room.set()
            case m.AttachLeave():
                self._leave(message.session)
            case m.Challenge() | m.Welcome() | m.Rejected():
                pass
            case m.Assign() | m.EventPart() | m.Ack() | m.Cancel() | m.Release() | m.Revoke():
                pass  # `agent.daemon.leases` obeys these

    def _begin(self, asked: m.Attach, connection: Connection) -> None:
        session = self._sessions[asked.session] = _Session(asked)
        session.task = asyncio.create_task(self._serve(session, connection))
        session.task.add_done_callback(lambda task: self._finish(asked.session, task))

    def _leave(self, name: str) -> None:
        session = self._sessions.get(name)
        if session is not None and session.task is not None:
            session.task.cancel()

    def _finish(self, name: str, task: asyncio.Task[None]) -> None:
        """One session's trouble is nobody else's."""
        self._sessions.pop(name, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("a bug in the agent while somebody was attached", exc_info=error)

    async def _serve(self, session: _Session, connection: Connection) -> None:
        asked = session.asked
        try:
            ended = await self._converse(session, connection)
        except AgentError as error:
            ended = Ended(None, str(error))
        connection.protocol.attach_ended(asked.session, ended.exit_code, ended.message[:_MOST_CHARACTERS])
        await connection.flush()

    async def _converse(self, session: _Session, connection: Connection) -> Ended:
        asked = session.asked
        folder = await self._find_running(asked.job, asked.lease)
        if folder is None:
            raise AgentError("the job does not run here, or not any more")
        self._check_room(asked)
        attachment = await _open(folder, asked)
        if not asked.app:
            log.info("%s attached to job %s", asked.user, asked.job)
        connection.protocol.attach_opened(asked.session)
        await connection.flush()
        typing = asyncio.create_task(self._type(session, attachment, connection))
        try:
            return await self._show(session, attachment, connection)
        finally:
            if not asked.app:
                log.info("%s left job %s", asked.user, asked.job)
            typing.cancel()
            attachment.close()
            with contextlib.suppress(asyncio.CancelledError):
                await typing

    def _check_room(self, asked: m.Attach) -> None:
        """Raises AgentError when there is none. Shells and apps have room of their own."""
        count = sum(bool(one.asked.app) == bool(asked.app) for one in self._sessions.values())
        if asked.app and count > MOST_PORT_SESSIONS:
            raise AgentError(f"{MOST_PORT_SESSIONS} connections to apps of this agent are open already")
        if not asked.app and count > MOST_SESSIONS:
            raise AgentError(f"{MOST_SESSIONS} are attached to jobs of this agent already")

    async def _show(self, session: _Session, attachment: Talk, connection: Connection) -> Ended:
        name = session.asked.session
        while not isinstance(said := await attachment.receive(), Ended):
            while connection.protocol.attach_room(name) == 0:
                session.has_room.clear()
                await session.has_room.wait()
            connection.protocol.attach_output(name, said.stream, said.data)
            await connection.flush()
        return said

    async def _type(self, session: _Session, attachment: Talk, connection: Connection) -> None:
        untold = 0
        while True:
            message = await session.inputs.get()
            await attachment.send(
                message.data, is_end=message.is_end, rows=message.rows, columns=message.columns
            )
            untold += 1
            if untold >= m.TAKEN_TOGETHER:
                connection.protocol.attach_taken(message.session, untold)
                untold = 0
                await connection.flush()


_MOST_CHARACTERS = 2000


async def _open(folder: JobFolder, asked: m.Attach) -> Talk:
    """What the session is for, begun. Raises AgentError."""
    if asked.app:
        request = {"app": asked.app, "session": asked.session, "user": asked.user}
        return await PortConnection.open(folder, request, m.PORT_FRAME_BYTES)
    return await Attachment.open(folder, _describe(asked))


def _describe(asked: m.Attach) -> dict[str, object]:
    """What the supervisor is asked."""
    terminal = asked.terminal
    return {
        "session": asked.session,
        "user": asked.user,
        "address": asked.address,
        "command": list(asked.command),
        "is_resume": asked.is_resume,
        "terminal": terminal and {"rows": terminal.rows, "columns": terminal.columns, "kind": terminal.kind},
    }
