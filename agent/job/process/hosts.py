"""Hosts of a step's processes: the machine, the job's container, or a container of their own.

Each host has a view of the job's folders (`paths`); what a step sees of paths is in the view of its host.
"""

import asyncio
import contextlib
import signal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from agent.containers.paths import PathMap
from agent.errors import AgentError
from agent.job.process.pipes import Sink
from agent.job.process.processes import Graces, run_process

if TYPE_CHECKING:  # a job without containers loads nothing of them
    from agent.containers.blueprint import Blueprint
    from agent.containers.engine import Conversation, Engine

_NOT_STARTED = (126, 127)
_COMPLAINT = b"OCI runtime exec failed"
_COMPLAINT_BYTES = 1024
_DRAIN_SECONDS = 5.0
_KILLED = 128 + signal.SIGKILL
_KILL_NEWS_SECONDS = 1.0  # how long after a SIGKILL its cause is waited for


class StepHost(Protocol):
    """A place where processes run."""

    @property
    def paths(self) -> PathMap:
        """Where the machine's folders lie there."""
        ...

    @property
    def granted(self) -> Mapping[str, str] | None:
        """The environment that every process begins with; None: what the machine grants."""
        ...

    @property
    def keeps_paths(self) -> bool:
        """Whether the entries that steps add to PATH count there."""
        ...

    def take_memory_kills(self) -> int:
        """How many deaths for memory the container engine has told of since this was asked last.

        Those on the machine itself are counted by the job's control group.
        """
        ...

    async def run(
        self,
        arguments: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        sink: Sink,
        graces: Graces,
        mark: str,
    ) -> int:
        """Run a program to its end, as `agent.job.process.processes.run_process` does. `cwd` is a path there."""
        ...


class MachineHost:
    """The machine itself."""

    paths = PathMap()
    granted: Mapping[str, str] | None = None
    keeps_paths = True

    def take_memory_kills(self) -> int:
        """See StepHost."""
        return 0

    async def run(
        self,
        arguments: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        sink: Sink,
        graces: Graces,
        mark: str,
    ) -> int:
        """See StepHost."""
        return await run_process(arguments, cwd=cwd, env=env, sink=sink, graces=graces, mark=mark)


class MemoryWatch:
    """Deaths for memory in a container, which the kernel tells the engine of, and nobody else."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._known = 0
        self._untaken = 0

    async def look(self, container: str, code: int) -> None:
        """A program in the container has ended with `code`."""
        patience = _KILL_NEWS_SECONDS if code == _KILLED else 0.0
        with contextlib.suppress(AgentError):  # a sentence less; how the program ended is known all the same
            count = await self._engine.count_memory_kills(
                container, known=self._known, patience_seconds=patience
            )
            self._untaken += max(0, count - self._known)
            self._known = max(count, self._known)

    def take(self) -> int:
        """How many there were since this was asked last."""
        untaken, self._untaken = self._untaken, 0
        return untaken


class ContainerHost:
    """The job's container: it lives as long as the job, and each process is brought into it."""

    keeps_paths = True

    def __init__(self, engine: "Engine", container: str, paths: PathMap, granted: Mapping[str, str]) -> None:
        self._engine = engine
        self._container = container
        self._memory = MemoryWatch(engine)
        self.paths = paths
        self.granted: Mapping[str, str] | None = granted

    def take_memory_kills(self) -> int:
        """See StepHost."""
        return self._memory.take()

    async def run(
        self,
        arguments: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        sink: Sink,
        graces: Graces,
        mark: str,
    ) -> int:
        """See StepHost. A cancelled process is ended with its offspring, in the container."""
        from agent.containers.stop import stop_program

        said = bytearray()

        def listen(data: bytes) -> None:
            if len(said) < _COMPLAINT_BYTES:
                said.extend(data[:_COMPLAINT_BYTES])
            sink(data)

        work = self._engine.execute(self._container, arguments, env=env, cwd=cwd, sink=listen)
        task = asyncio.ensure_future(work)
        try:
            code = await asyncio.shield(task)
        except asyncio.CancelledError:
            await stop_program(self._engine, self._container, mark, graces.gentle_signals)
            await _let_go(task)
            raise
        await self._memory.look(self._container, code)
        if code in _NOT_STARTED and _COMPLAINT in said:
            raise AgentError(
                f"cannot start '{arguments[0]}' in the job's container",
                where=cwd,
                hint="does the image have it, and the working directory? The log has the engine's reason",
            )
        return code


class ActionHost:
    """A container for one process: that of a container action. It is removed when the process has ended."""

    keeps_paths = False

    def __init__(
        self, engine: "Engine", name: str, blueprint: "Blueprint", paths: PathMap, granted: Mapping[str, str]
    ) -> None:
        self._engine = engine
        self._memory = MemoryWatch(engine)
        self._name = name
        self._blueprint = blueprint
        self.paths = paths
        self.granted: Mapping[str, str] | None = granted

    def take_memory_kills(self) -> int:
        """See StepHost."""
        return self._memory.take()

    async def run(
        self,
        arguments: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        sink: Sink,
        graces: Graces,
        mark: str,  # noqa: ARG002 - the container is mark enough
    ) -> int:
        """See StepHost. No arguments: what the image says."""
        container = await self._create(arguments, cwd, env)
        task = asyncio.ensure_future(self._engine.run(container, sink))
        try:
            code = await asyncio.shield(task)
            await self._memory.look(container, code)
        except asyncio.CancelledError:
            await self._stop(container, graces)
            await _let_go(task)
            raise
        else:
            return code
        finally:
            await self._engine.remove(container)

    async def open(
        self, arguments: Sequence[str], *, cwd: str, env: Mapping[str, str]
    ) -> tuple[str, "Conversation"]:
        """Start the container for a conversation with its program. Its id: whoever talks to it removes it."""
        self._blueprint.takes_input = True
        container = await self._create(arguments, cwd, env)
        try:
            return container, await self._engine.attach(container)
        except BaseException:
            await self._engine.remove(container)
            raise

    async def _create(self, arguments: Sequence[str], cwd: str, env: Mapping[str, str]) -> str:
        self._blueprint.env |= env
        self._blueprint.workdir = cwd
        if arguments:
            self._blueprint.command = list(arguments)
        return await self._engine.create(self._name, self._blueprint)

    async def _stop(self, container: str, graces: Graces) -> None:
        """The gentle signals; removing it is SIGKILL."""
        with contextlib.suppress(AgentError):  # gone already
            for number, seconds in graces.gentle_signals:
                await self._engine.signal(container, number)
                if await self._has_ended(container, seconds):
                    return

    async def _has_ended(self, container: str, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._engine.wait(container)
                return True
        return False


async def _let_go(task: "asyncio.Future[int]") -> None:
    """Take the last output of a process that was ended, and forget it."""
    await asyncio.wait({task}, timeout=_DRAIN_SECONDS)
    task.cancel()
    await asyncio.wait({task})
