"""A real `agent start` in a process of its own."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from agent.daemon.state import StateFolder
from support.lab import PATIENCE_SECONDS


class DaemonProcess:
    """A running daemon, and what it said."""

    def __init__(self, process: asyncio.subprocess.Process, log_file: Path) -> None:
        self.process = process
        self._log_file = log_file

    @property
    def log(self) -> str:
        return self._log_file.read_text()

    async def kill(self) -> None:
        """SIGKILL, as the OOM killer would."""
        self.process.kill()
        await self.process.wait()

    async def ended(self) -> int:
        """Its exit code, once it ends by itself. Raises TimeoutError for one that goes on."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.process.wait()

    async def leave(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return await self.ended()


@contextlib.asynccontextmanager
async def daemon_process(
    state: StateFolder, *, prefix: Sequence[str] = (), python: str = sys.executable, **environment: str
) -> AsyncIterator[DaemonProcess]:
    """`agent start` on `state`; whatever happens it is gone at the end. Its jobs are the caller's business.

    `prefix` is a command that runs it, `python` the interpreter.
    """
    log_file = state.path / "daemon.log"
    with log_file.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(*prefix, python, "-m", "agent", "start"),
            env={**os.environ, "AGENT_STATE": str(state.path), "NO_PROXY": "*", **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stderr=log,
        )
    try:
        yield DaemonProcess(process, log_file)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def wait_until(condition: Callable[[], object], *, timeout_seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until `condition` holds; for what no event tells (a file, another process)."""
    async with asyncio.timeout(timeout_seconds):
        while not condition():
            await asyncio.sleep(0.01)
