"""The other end of an attached session: the daemon's hold on a program in one of its jobs (`agent.job.attach.attachments`)."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from agent.errors import AgentError, DamagedError
from agent.job.attach.frames import FrameKind, make_frame, make_size, read_frame
from agent.job.folder.attempt import JobFolder, reach_control

_GONE = "the job has ended"


@dataclass(frozen=True, slots=True)
class Output:
    """Bytes of standard output (stream 1) or standard error (2)."""

    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over: with the program's exit code, or for the reason in `message`."""

    exit_code: int | None
    message: str


class Attachment:
    """An open session. To `close` it is to hang up, and ends what runs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, folder: JobFolder, request: Mapping[str, object]) -> Self:
        """Ask the job in `folder`; waits until it has begun with its steps. Raises AgentError when it will not."""
        try:
            with reach_control(folder) as path:
                attachment = cls(*await asyncio.open_unix_connection(path))
        except OSError:
            raise AgentError(_GONE) from None
        try:
            await attachment._ask(request)
        except BaseException:
            attachment.close()
            raise
        return attachment

    async def receive(self) -> Output | Ended:
        """What comes next."""
        try:
            frame = await read_frame(self._reader)
        except DamagedError as error:
            return Ended(None, str(error))
        match frame:
            case None:
                return Ended(None, _GONE)
            case (FrameKind.ENDED, payload):
                return _read_ending(payload)
            case (kind, data):
                return Output(int(kind), data)

    async def send(self, data: bytes = b"", *, is_end: bool = False, rows: int = 0, columns: int = 0) -> None:
        """Input, its end, or the terminal's new size; returns when there is room for more."""
        if data:
            self._writer.write(make_frame(FrameKind.INPUT, data))
        if is_end:
            self._writer.write(make_frame(FrameKind.INPUT_END))
        if rows and columns:
            self._writer.write(make_size(rows, columns))
        try:
            await self._writer.drain()
        except OSError:  # it has ended: `receive` says so
            return

    def close(self) -> None:
        """Hang up."""
        self._writer.close()

    async def _ask(self, request: Mapping[str, object]) -> None:
        try:
            self._writer.write(json.dumps({"kind": "attach", **request}).encode() + b"\n")
            answer = json.loads(await self._reader.readline())
        except (OSError, ValueError):
            raise AgentError(_GONE) from None
        if not isinstance(answer, dict):
            raise AgentError(_GONE)
        if not answer.get("ok"):
            raise AgentError(str(answer.get("error", _GONE)))


def _read_ending(payload: bytes) -> Ended:
    """The job may have put a socket of its own there: what it says is not to be believed."""
    try:
        ending = json.loads(payload)
        code = ending["exit_code"]
        return Ended(None if code is None else int(code), str(ending["message"]))
    except (ValueError, TypeError, KeyError):
        return Ended(None, _GONE)
