"""Somebody who is attached to a job, from the start of what they run to the end of all that it left.

It has the environment of the latest step, the workspace, user and group of the job, and ends with it. What it prints is masked as the log
is; the log itself gets a step for each session: who, from where, how long.
"""

import asyncio
import contextlib
import json
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import AgentError, DamagedError
from agent.job.attach.frames import FRAME_BYTES, FrameKind, make_frame, read_frame, read_size
from agent.job.attach.program import Program, TerminalSize, open_program
from agent.job.commands.files import CommandFiles
from agent.job.output.masking import MaskStream
from agent.job.process.programs import find_executable
from agent.job.steps.state import RunningJob
from agent.job.steps.steprun import make_bystander
from agent.policy import AttachPolicy
from agent.spec.outcome import Conclusion

_MARK = "FLOW_ATTACHED"  # the variable by which what a session started is known
_PEEK_SECONDS = 0.05  # how long what may begin a secret is held back from somebody who types
_MOST_PEEKED_BYTES = 3
_SHELL = ("sh", "-c", 'exec "$(command -v bash || command -v sh)"')


@dataclass(frozen=True, slots=True)
class AttachRequest:
    """What somebody asks for. No command: a shell; of one word: for `sh -c`; of several: a program and its arguments."""

    session: str
    user: str
    address: str
    command: tuple[str, ...]
    window: TerminalSize | None

    @property
    def arguments(self) -> Sequence[str]:
        """What to run."""
        if not self.command:
            return _SHELL
        return ("sh", "-c", *self.command) if len(self.command) == 1 else self.command

    def describe(self) -> str:
        """The first line of its log."""
        how = f", to run: {shlex.join(self.command)}" if self.command else ", for a shell"
        where = f" from {self.address}" if self.address else ""
        return f"{self.user} attached{where}{how}"


class Session:
    """One session."""

    def __init__(
        self, job: RunningJob, asked: AttachRequest, policy: AttachPolicy, writer: asyncio.StreamWriter
    ) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._job = job
        self._asked = asked
        self._idle_seconds = policy.idle_minutes * 60
        self._writer = writer
        self._streams = {number: MaskStream(job.masker) for number in (1, 2)}
        self._why: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._heard_at = time.monotonic()
        self._peek: asyncio.TimerHandle | None = None
        self.has_finished = False  # a shell at a terminal, by itself

    @property
    def has_terminal(self) -> bool:
        """Whether somebody types."""
        return self._asked.window is not None

    def end(self, why: str) -> None:
        """End it, and say so."""
        if not self._why.done():
            self._why.set_result(why)

    async def run(self, reader: asyncio.StreamReader) -> None:
        """From the start of the program to the end of all that it left."""
        started = time.monotonic()
        log = self._job.recorder.begin_step("__attach", f"Attached: {self._asked.user}")
        log.say(self._asked.describe())
        said = "it could not be started"
        files = self._job.command_folder.make()
        try:
            program = await self._open(files)
            self._writer.write(b'{"ok": true}\n')
            try:
                said = await self._converse(program, reader)
            finally:
                await program.stop()
        except AgentError as error:
            self._writer.write(make_refusal(error))
        finally:
            files.remove()  # what was written there is nobody's
            log.say(f"{self._asked.user} left after {time.monotonic() - started:.0f} s: {said}")
            log.end(Conclusion.SUCCESS, Conclusion.SUCCESS)

    async def _open(self, files: CommandFiles) -> Program:
        job, asked = self._job, self._asked
        own = {**files.variables, _MARK: asked.session}
        if asked.window is not None:
            own["TERM"] = asked.window.kind or "xterm"
        env = (job.latest or make_bystander(job)).describe_environment(own)
        mark = f"{_MARK}={asked.session}"
        if job.is_in_container:
            from agent.job.attach.container_program import open_in_container

            return await open_in_container(job, asked.arguments, env=env, window=asked.window, mark=mark)
        name, *arguments = asked.arguments
        found = find_executable(name, env.get("PATH", ""))
        if found is None:
            raise AgentError(f"there is no program '{name}'", where="PATH of the job")
        return open_program(
            [found, *arguments],
            cwd=Path(job.places.workspace),
            env=env,
            window=asked.window,
            graces=job.graces,
            mark=mark,
        )

    async def _converse(self, program: Program, reader: asyncio.StreamReader) -> str:
        """Until one of the ends; what to say of it. Whoever is still there has been told."""
        finishing = asyncio.ensure_future(self._finish(program))
        listening = asyncio.ensure_future(self._listen(program, reader))
        idling = asyncio.ensure_future(self._watch_silence())
        tasks = (finishing, listening, idling)
        try:
            ends: set[asyncio.Future[Any]] = {finishing, listening, self._why}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if finishing.done() and not finishing.cancelled() and finishing.exception() is None:
            code = finishing.result()
            self.has_finished = self.has_terminal
            self._say_end(code, "")
            return f"exit code {code}"
        if self._why.done():
            self._say_end(None, self._why.result())
            return self._why.result()
        return "hung up"

    async def _finish(self, program: Program) -> int:
        await program.pump(self._show)
        for number in self._streams:
            await self._send(number, self._streams[number].finish())
        return min(await program.wait(), 255)

    async def _listen(self, program: Program, reader: asyncio.StreamReader) -> None:
        """Pass on what is typed. Returns when whoever asked has hung up, or makes no sense."""
        with contextlib.suppress(DamagedError):
            while (frame := await read_frame(reader)) is not None:
                self._heard_at = time.monotonic()
                match frame:
                    case (FrameKind.INPUT, data):
                        await program.write(data)
                    case (FrameKind.INPUT_END, _):
                        program.end_input()
                    case (FrameKind.SIZE, data):
                        await program.resize(*read_size(data))
                    case _:  # a kind that a client has no business with
                        return

    async def _watch_silence(self) -> None:
        left = self._idle_seconds
        while left > 0:
            await asyncio.sleep(left)
            left = self._heard_at + self._idle_seconds - time.monotonic()
        self.end(f"nothing was heard for {self._idle_seconds / 60:g} minutes")
        await asyncio.Event().wait()

    async def _show(self, number: int, data: bytes) -> None:
        if (
            not self.has_terminal
        ):  # a command that prints is at work; a screen that changes by itself is nobody's sign
            self._heard_at = time.monotonic()
        if self._peek is not None:
            self._peek.cancel()
            self._peek = None
        await self._send(number, self._streams[number].feed(data))
        if self.has_terminal:
            self._peek = asyncio.get_running_loop().call_later(_PEEK_SECONDS, self._show_early, number)

    def _show_early(self, number: int) -> None:
        """What may begin a secret but is too short to tell: who types wants to see it."""
        early = self._streams[number].peek(_MOST_PEEKED_BYTES)
        if early:
            self._writer.write(make_frame(number, early))

    async def _send(self, number: int, data: bytes) -> None:
        with contextlib.suppress(OSError):  # hung up: the listener knows
            for start in range(0, len(data), FRAME_BYTES):
                self._writer.write(make_frame(number, data[start : start + FRAME_BYTES]))
                await self._writer.drain()

    def _say_end(self, code: int | None, message: str) -> None:
        self._writer.write(make_end(code, message))


def make_end(code: int | None, message: str) -> bytes:
    """The last frame of a session."""
    return make_frame(FrameKind.ENDED, json.dumps({"exit_code": code, "message": message}).encode())


def make_refusal(error: AgentError) -> bytes:
    """The answer to a request that comes to nothing."""
    return json.dumps({"ok": False, "error": str(error)}).encode() + b"\n"


def read_request(request: Mapping[str, Any]) -> AttachRequest:
    """What is asked for. Raises AgentError when nobody understands it."""
    try:
        terminal = request.get("terminal")
        window = (
            None
            if terminal is None
            else TerminalSize(int(terminal["rows"]), int(terminal["columns"]), str(terminal["kind"]))
        )
        return AttachRequest(
            str(request["session"]),
            str(request["user"]),
            str(request["address"]),
            tuple(map(str, request["command"])),
            window,
        )
    except (KeyError, TypeError, ValueError):
        raise AgentError("nobody understands how to attach to the job like that") from None
