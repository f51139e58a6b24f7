"""People who are attached to a running job: a shell or a command of theirs beside its steps.

    request --(policy, room)--> waits until the job has begun --> opened --the program ends---------> ended(exit code)
                                                                    |----whoever asked hangs up----> stopped
                                                                    +----silence, the job's end----> stopped, ended(why)

One of them is an `agent.job.attach.session`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agent.errors import AgentError, RefusedError
from agent.job.attach.frames import FRAME_BYTES
from agent.job.steps.state import RunningJob

if TYPE_CHECKING:  # most jobs have no session: what one needs is imported with the first
    from agent.job.attach.session import Session
    from agent.policy import AttachPolicy

MOST_SESSIONS = 4  # of one job at a time

_LOOK_SECONDS = 0.2
_LET_GO_SECONDS = 10.0


class Attachments:
    """All sessions of one job."""

    def __init__(
        self, job: RunningJob, *, on_left: Callable[[str], None], on_resume: Callable[[str], None]
    ) -> None:
        """`on_left`: the last shell at a terminal has ended by itself; `on_resume`: somebody, by name, wants a held job to go on."""
        self._job = job
        self._on_left = on_left
        self._on_resume = on_resume
        self._sessions: set[Session] = set()
        self._is_open = False
        self._is_over = False

    def open(self) -> None:
        """The job has begun, its containers are there: whoever waits may come in."""
        self._is_open = True

    async def close(self) -> None:
        """The job is about to end: all sessions do."""
        self._is_over = True
        for session in tuple(self._sessions):
            session.end("the job has ended")
        while self._sessions:
            await asyncio.wait({session.gone for session in self._sessions})

    async def serve(
        self, request: Mapping[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One session from the request to its end. The first line of the answer says whether there is one.

        One with an app's port is the daemon's as soon as it is open.
        """
        from agent.job.attach.session import make_refusal

        try:
            if request.get("app"):
                from agent.job.apps.handing import hand_over

                await hand_over(self._job, request, writer)
                return
            await self._serve(request, reader, writer)
        except AgentError as error:
            writer.write(make_refusal(error))
        await _let_go(reader)

    async def _serve(
        self, request: Mapping[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        from agent.job.attach.session import Session, make_end, read_request

        asked = read_request(request)
        if request.get("is_resume"):
            self._on_resume(asked.user)
            writer.write(b'{"ok": true}\n' + make_end(0, ""))
            return
        policy = self._check()
        if not await self._wait_until_open(reader):
            return
        self._check_room()
        session = Session(self._job, asked, policy, writer)
        self._sessions.add(session)
        try:
            await session.run(reader)
        finally:
            self._sessions.discard(session)
            session.gone.set_result(None)
            if session.has_finished and not any(other.has_terminal for other in self._sessions):
                self._on_left(f"{asked.user} has left")

    def _check(self) -> "AttachPolicy":
        from agent.policy import load_attach_policy

        settings = self._job.settings
        policy = load_attach_policy(settings.rules, must_exist=settings.policy_must_exist)
        if not policy.allow:
            raise RefusedError(
                "the policy of this machine lets nobody attach to jobs",
                where=settings.agent_name,
                hint=f"{settings.policy_file}: attach.allow",
            )
        return policy

    def _check_room(self) -> None:
        if len(self._sessions) >= MOST_SESSIONS:
            raise RefusedError(
                f"{MOST_SESSIONS} are attached to this job already", hint="wait for one to leave"
            )

    async def _wait_until_open(self, reader: asyncio.StreamReader) -> bool:
        """False when whoever asked has hung up. Raises AgentError when the job ends before its first step."""
        while not self._is_open:
            if reader.at_eof():
                return False
            if self._is_over:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        if self._is_over:
            raise AgentError("the job has ended")
        return True


async def _let_go(reader: asyncio.StreamReader) -> None:
    """Leave the hanging up to the other side: who writes to a closed socket may never read what was said last."""
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(_LET_GO_SECONDS):
            while await reader.read(FRAME_BYTES):
                pass
