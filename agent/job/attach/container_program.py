"""A program in the job's container that somebody talks to (agent.job.attach.program.Program)."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from agent.containers.stop import stop_program
from agent.job.attach.program import Show, TerminalSize
from agent.job.steps.state import RunningJob

if TYPE_CHECKING:
    from agent.containers.engine import Conversation, Engine


class ConversationProgram:
    """See Program. How it is ended is said by who knows what it is."""

    def __init__(self, conversation: "Conversation") -> None:
        self._conversation = conversation
        self._has_ended = False

    async def pump(self, show: Show) -> None:
        """See Program."""
        while (received := await self._conversation.receive()) is not None:
            stream, data = received
            await show(stream if stream == 2 else 1, data)
        self._has_ended = True

    async def write(self, data: bytes) -> None:
        """See Program."""
        await self._conversation.send(data)

    def end_input(self) -> None:
        """See Program."""
        self._conversation.end_input()

    async def resize(self, rows: int, columns: int) -> None:
        """See Program."""
        await self._conversation.resize(rows, columns)

    async def wait(self) -> int:
        """See Program."""
        return await self._conversation.exit_code()


class ContainerProgram(ConversationProgram):
    """See Program: one that was brought into the job's container."""

    def __init__(self, job: RunningJob, conversation: "Conversation", mark: str) -> None:
        super().__init__(conversation)
        self._job = job
        self._mark = mark

    async def stop(self) -> None:
        """See Program."""
        self._conversation.close()
        if not self._has_ended:
            graces = self._job.graces
            await stop_program(
                _engine_of(self._job),
                self._job.containers.container["id"],
                self._mark,
                (
                    (signal.SIGINT, min(graces.interrupt_seconds, graces.terminate_seconds)),
                    (signal.SIGTERM, graces.terminate_seconds),
                ),
            )


async def open_in_container(
    job: RunningJob,
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    window: TerminalSize | None,
    mark: str,
) -> ContainerProgram:
    """Start a program in the job's container. Raises AgentError."""
    size = None if window is None else (window.rows, window.columns)
    conversation = await asyncio.shield(
        _engine_of(job).converse(
            job.containers.container["id"],
            arguments,
            env=env,
            cwd=job.show_path(job.places.workspace),
            window=size,
        )
    )
    return ContainerProgram(job, conversation, mark)


def _engine_of(job: RunningJob) -> "Engine":
    """The engine at which the job's container runs."""
    assert job.containers.engine is not None
    return job.containers.engine
