"""`manual`: brings the lines of a file, one JSON record each; without a file it brings nothing.

Its position is the byte, and the number of the line, that come next. Where the file can be gone back in, a bookmark keeps that,
under a name that holds for this file as it is: what a run that was killed had settled, the next one does not bring again. Once
all of the file is settled, the bookmark begins anew.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from agent.errors import AgentError
from agent.job.stages.json_lines import load, load_lines
from agent.job.stages.stage import Bookmark, Intake, StageContext, StageError, StreamPosition, TriggerStage

FILE = "file"  # the key of its config that a local run adds
_READ_BYTES = 1 << 20
_BATCH_LINES = 1000
_MOST_LINE_BYTES = 16 << 20
_HOLD_SECONDS = 60.0
_SHOWN_BYTES = 1000  # of a line that is no record
_SAY_SECONDS = 5.0  # between two words on how far it is
_LANE = ""

_Ahead = asyncio.Future[bytes]  # a block that is being read


def make(context: StageContext) -> TriggerStage:
    """Brings what the local run's file has."""
    file = context.config.get(FILE)
    return FileTrigger(context, Path(str(file))) if file is not None else NoTrigger(context)


class NoTrigger:
    """Nothing was given to it."""

    def __init__(self, context: StageContext) -> None:
        self._context = context

    async def run(self, intake: Intake) -> None:  # noqa: ARG002 - nothing comes in
        """Bring nothing."""
        self._context.say("no file of records was given: nothing comes from here")

    async def settle(self, position: StreamPosition) -> None:
        """Nothing was brought."""

    async def close(self) -> None:
        """There is nothing to close."""


class FileTrigger:
    """The lines of a file."""

    def __init__(self, context: StageContext, file: Path) -> None:
        self._context = context
        self._file = file
        self._bookmark: Bookmark | None = None
        self._end: object = None  # of the file, once it was read
        self._settled: object = None

    async def run(self, intake: Intake) -> None:
        """Bring all lines from where the last run left off."""
        try:
            stream = self._file.open("rb", buffering=0)
        except OSError as error:
            raise AgentError(f"the records can't be read: {error.strerror}", where=str(self._file)) from None
        try:
            reader = _Lines(intake, self._context.say, *await self._find_begin(stream))
            reader.size_bytes = os.fstat(stream.fileno()).st_size
            await reader.bring(stream)
            self._end = reader.place
        except OSError as error:
            raise AgentError(f"the records can't be read: {error.strerror}", where=str(self._file)) from None
        finally:
            stream.close()

    async def settle(self, position: StreamPosition) -> None:
        """All lines up to there have ended."""
        await self._put(position.at)
        self._settled = position.at

    async def close(self) -> None:
        """Let another run have it; from its beginning, when all of it is settled."""
        if self._bookmark is None:
            return
        if self._end is not None and self._settled == self._end:
            await self._put(None)
        await self._context.bookmarks.free(self._bookmark)

    async def _put(self, value: object) -> None:
        if self._bookmark is not None and not await self._context.bookmarks.put(self._bookmark, value):
            raise AgentError("another run brings the same file's records by now", where=str(self._file))

    async def _find_begin(self, stream: BinaryIO) -> tuple[int, int]:
        """The byte, and the number of the line, before which all was settled."""
        if not stream.seekable():
            return 0, 1
        if self._bookmark is None:
            name = f"{self._context.name}/{_digest(self._file, stream)}"
            self._bookmark = await self._context.bookmarks.take(name, _HOLD_SECONDS)
        if self._bookmark is None:
            raise AgentError("another run brings this file's records just now", where=str(self._file))
        value = self._settled or self._bookmark.value
        if not isinstance(value, list):
            return 0, 1
        begin, line = int(value[0]), int(value[1])
        stream.seek(begin)
        self._context.say(
            f"goes on at line {line}: what is before it was settled by a run that was broken off"
        )
        return begin, line


class _Lines:
    """Hands on the lines of a stream, from a byte and a line on."""

    def __init__(self, intake: Intake, say: Callable[[str], None], begin: int, line: int) -> None:
        self._intake = intake
        self._say = say
        self._said_at = time.monotonic()
        self.size_bytes = 0  # of all of it; 0: nobody knows
        self._byte = begin
        self._line = line

    @property
    def place(self) -> list[int]:
        """The byte and the line that come next."""
        return [self._byte, self._line]

    async def bring(self, stream: BinaryIO) -> None:
        """All that there is. The next block is read while the last one is on its way."""
        rest, ahead = b"", _read_ahead(stream)
        try:
            while read := await ahead:
                ahead = _read_ahead(stream)
                data = rest + read
                cut = data.rfind(b"\n") + 1
                await self._emit(data[:cut])
                self._say_progress()
                rest = data[cut:]
                if len(rest) > _MOST_LINE_BYTES:
                    rest, ahead = await self._skip(stream, rest, ahead)
        finally:
            await asyncio.gather(ahead, return_exceptions=True)  # nobody reads on when the file is closed
        await self._emit(rest)

    async def _emit(self, data: bytes) -> None:
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        for start in range(0, len(lines), _BATCH_LINES):
            part = lines[start : start + _BATCH_LINES]
            size_bytes = sum(map(len, part)) + len(part)
            try:
                values = load_lines(part)
            except ValueError:
                await self._emit_each(part)
                continue
            self._byte += size_bytes
            self._line += len(part)
            await self._intake.emit(values, self._position())

    async def _emit_each(self, lines: Sequence[bytes]) -> None:
        """Lines of which some are no records: those are dead letters, in their order."""
        values: list[object] = []
        for line in lines:
            value, error = _read(line, self._line)
            if error is not None:
                if values:
                    await self._intake.emit(values, self._position())
                    values = []
            elif line.strip():
                values.append(value)
            self._byte += len(line) + 1
            self._line += 1
            if error is not None:
                self._intake.fail(_show(line), self._position(), error)
        await self._intake.emit(values, self._position())

    async def _skip(self, stream: BinaryIO, begun: bytes, ahead: _Ahead) -> tuple[bytes, _Ahead]:
        """A line that is too long is a dead letter; gives what comes after it."""
        size_bytes, rest = len(begun), b""
        while read := await ahead:
            ahead = _read_ahead(stream)
            cut = read.find(b"\n") + 1
            size_bytes += cut or len(read)
            if cut:
                rest = read[cut:]
                break
        self._byte += size_bytes
        error = StageError(f"line {self._line} is over {_MOST_LINE_BYTES >> 20} MiB", is_final=True)
        self._line += 1
        self._intake.fail(_show(begun), self._position(), error)
        return rest, ahead

    def _position(self) -> StreamPosition:
        return StreamPosition(_LANE, self.place)

    def _say_progress(self) -> None:
        now = time.monotonic()
        if now - self._said_at >= _SAY_SECONDS:
            self._said_at = now
            share = f", {self._byte / self.size_bytes:.0%}" if self.size_bytes else ""
            self._say(f"{self._line - 1:,} lines{share}")


def _read_ahead(stream: BinaryIO) -> _Ahead:
    return asyncio.ensure_future(asyncio.to_thread(stream.read, _READ_BYTES))


def _digest(file: Path, stream: BinaryIO) -> str:
    """What tells this file, as it is, from others."""
    facts = os.fstat(stream.fileno())
    known = f"{os.path.realpath(file)}\0{facts.st_ino}\0{facts.st_size}\0{facts.st_mtime_ns}"
    return hashlib.sha256(known.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _read(line: bytes, number: int) -> tuple[object, StageError | None]:
    if not line.strip():
        return None, None
    try:
        return load(line), None
    except ValueError as error:
        return None, StageError(f"line {number} is no JSON: {error}", is_final=True)


def _show(line: bytes) -> str:
    return line[:_SHOWN_BYTES].decode("utf-8", "replace")
