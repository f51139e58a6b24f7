"""A program on the machine that somebody talks to while it runs: at a terminal of its own, or through three pipes.

It is the leader of a session, with the terminal as its controlling one, so that ctrl-C reaches what runs in the
foreground there, and hanging up ends all of it (tty_ioctl(4), setsid(2)).
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import termios
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.job.attach.frames import FRAME_BYTES
from agent.job.process.processes import Graces, collect, readable, spawn, stop_tree

Show = Callable[[int, bytes], Awaitable[None]]  # takes a stream's number (1 or 2) and bytes of it

_LINGER_SECONDS = 0.25  # for output after the program's end, from children that it left


@dataclass(frozen=True, slots=True)
class TerminalSize:
    """A terminal's size, and its kind (`TERM`)."""

    rows: int
    columns: int
    kind: str = ""


class Program(Protocol):
    """A program that runs. `agent.containers.interactive` has the one in a container."""

    async def pump(self, show: Show) -> None:
        """Hand all output to `show`, no faster than it takes it. Returns when the program has ended."""
        ...

    async def write(self, data: bytes) -> None:
        """Standard input; returns when there is room for more. What the program will not read is dropped."""
        ...

    def end_input(self) -> None:
        """Nothing more will be written: at a terminal that is for the user to type."""
        ...

    async def resize(self, rows: int, columns: int) -> None:
        """The terminal has another size."""
        ...

    async def wait(self) -> int:
        """The exit code, once it has ended."""
        ...

    async def stop(self) -> None:
        """End it, with all its offspring. One that has ended may be stopped too, and must be."""
        ...


class LocalProgram:
    """See Program."""

    def __init__(
        self, process: int, outputs: Mapping[int, int], writing: int, graces: Graces, mark: str
    ) -> None:
        """`outputs` are files to read by the stream's number; `writing` is the terminal again, or a pipe."""
        self._process = process
        self._outputs = outputs
        self._writing: int | None = writing
        self._is_terminal = writing in outputs.values()
        self._graces = graces
        self._mark = mark
        self._pidfd = os.pidfd_open(process)
        self._ended = asyncio.ensure_future(readable(self._pidfd))
        self._code: int | None = None
        for file in {writing, *outputs.values()}:
            os.set_blocking(file, False)

    async def pump(self, show: Show) -> None:
        """See Program."""
        await asyncio.gather(*(self._pump(file, stream, show) for stream, file in self._outputs.items()))

    async def write(self, data: bytes) -> None:
        """See Program."""
        try:
            while data and self._writing is not None:
                try:
                    data = data[os.write(self._writing, data) :]
                except BlockingIOError:
                    await _writable(self._writing)
        except OSError:  # nobody reads any more
            self.end_input()

    def end_input(self) -> None:
        """See Program."""
        if self._writing is not None and not self._is_terminal:
            os.close(self._writing)
            self._writing = None

    async def resize(self, rows: int, columns: int) -> None:
        """See Program."""
        if self._is_terminal and self._writing is not None:
            _set_size(self._writing, rows, columns)

    async def wait(self) -> int:
        """See Program."""
        if self._code is None:
            await asyncio.shield(self._ended)
            self._code = collect(self._process)
        return self._code

    async def stop(self) -> None:
        """See Program: to hang up comes first, as shells take no other hint."""
        self.end_input()
        for file in self._outputs.values():
            os.close(file)
        self._outputs, self._writing = {}, None
        if self._code is None:
            await stop_tree(self._process, self._graces, self._mark, first=signal.SIGHUP)
            await self.wait()
        os.close(self._pidfd)

    async def _pump(self, file: int, stream: int, show: Show) -> None:
        while await self._has_more(file):
            try:
                data = os.read(file, FRAME_BYTES)
            except BlockingIOError:
                continue
            except OSError:  # EIO: nobody has the terminal open any more
                return
            if not data:
                return
            await show(stream, data)

    async def _has_more(self, file: int) -> bool:
        """Whether there is something to read; what comes too late after the program's end does not count."""
        waiting = asyncio.ensure_future(readable(file))
        try:
            await asyncio.wait({waiting, self._ended}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                await asyncio.wait({waiting}, timeout=_LINGER_SECONDS)
            return waiting.done()
        finally:
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting


def open_program(
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    window: TerminalSize | None,
    graces: Graces,
    mark: str,
) -> LocalProgram:
    """Start a program at a terminal like `window`, or without one. `mark` (NAME=VALUE) is in `env`, and its alone.

    Raises AgentError when it cannot be started.
    """
    if window is not None:
        return _open_at_terminal(arguments, cwd, env, window, graces, mark)
    pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(3)]
    (its_input, writing), (reading, its_output), (reading_errors, its_errors) = pipes
    try:
        process = spawn(
            arguments,
            cwd=str(cwd),
            env=env,
            files=[
                (os.POSIX_SPAWN_DUP2, file, number)
                for number, file in enumerate((its_input, its_output, its_errors))
            ],
        )
    except BaseException:
        for file in (writing, reading, reading_errors):
            os.close(file)
        raise
    finally:
        for file in (its_input, its_output, its_errors):
            os.close(file)
    return LocalProgram(process, {1: reading, 2: reading_errors}, writing, graces, mark)


def _open_at_terminal(
    arguments: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    window: TerminalSize,
    graces: Graces,
    mark: str,
) -> LocalProgram:
    master, slave = os.openpty()  # neither is inherited
    try:
        _set_size(slave, window.rows, window.columns)
        # The leader of a new session that opens a terminal has it as its controlling one.
        opening = (os.POSIX_SPAWN_OPEN, 0, os.ttyname(slave).encode(), os.O_RDWR, 0)
        others = ((os.POSIX_SPAWN_DUP2, 0, 1), (os.POSIX_SPAWN_DUP2, 0, 2))
        process = spawn(arguments, cwd=str(cwd), env=env, files=[opening, *others])
    except BaseException:
        os.close(master)
        raise
    finally:
        os.close(slave)
    return LocalProgram(process, {1: master}, master, graces, mark)


def _set_size(terminal: int, rows: int, columns: int) -> None:
    if rows and columns:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


async def _writable(file: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(file, settle)
    try:
        await ready
    finally:
        loop.remove_writer(file)
