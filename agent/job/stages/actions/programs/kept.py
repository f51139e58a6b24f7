"""A program that is up, and is asked for what becomes of records."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from agent.errors import AgentError
from agent.job.stages.actions.programs.log import ProgramLog
from agent.job.stages.actions.programs.speech import (
    Answer,
    ProgramSpeech,
    ProtocolError,
    RecordFrames,
    RecordLines,
)
from agent.job.stages.stage import Value

if TYPE_CHECKING:
    from agent.job.attach.program import Program

_GREETING_SECONDS: Final = 300.0  # code may import what takes its time
_FAREWELL_SECONDS: Final = 5.0  # to end by itself once there are no more records
_SIGNALLED: Final = 128


class ProgramEnd(NamedTuple):
    """Why a program is of no use any more."""

    how: str
    is_late: bool = False  # it runs, and does not answer
    is_clean: bool = False  # it ended, and says that all is well


class KeptProgram:
    """A program with its conversation. One batch at a time."""

    def __init__(
        self,
        program: "Program",
        say: Callable[[str], None],
        complain: Callable[[str], None],
        *,
        is_code: bool,
    ) -> None:
        self._program = program
        self._complain = complain
        self._log = ProgramLog(say)
        self._speech: ProgramSpeech = RecordFrames(self._greet) if is_code else RecordLines(self._log.say)
        loop = asyncio.get_running_loop()
        self._greeting: asyncio.Future[str] = loop.create_future()
        self._answered: asyncio.Future[None] = loop.create_future()
        self._left = 0  # answers to come
        self._take: Callable[[Answer], None] = lambda _answer: None
        self._timeout: asyncio.Timeout | None = None
        self._seconds = 0.0
        self._reading = asyncio.ensure_future(self._read())
        self._is_garbled = False
        self.answers = 0  # that it ever gave
        self.is_up = True

    async def wait_until_ready(self) -> None:
        """Return when it is. Raises AgentError when it is not going to be."""
        if not self._speech.is_greeted:
            return
        waited: set[asyncio.Future[Any]] = {self._greeting, self._reading}
        await asyncio.wait(
            waited,
            timeout=_GREETING_SECONDS,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not self._greeting.done():
            if self._reading.done():
                raise AgentError(f"the code ended while it was loaded ({(await self.find_end()).how})")
            raise AgentError(f"the code was not loaded within {_GREETING_SECONDS:.0f} s")
        if refused := self._greeting.result():
            raise AgentError(f"the code can't be loaded: {refused}")

    async def ask(
        self, records: Sequence[Value], take: Callable[[Answer], None], seconds: float
    ) -> ProgramEnd | None:
        """Have each record answered, in order. None when all were; else why the program is of no use any more: `kill` it.

        `seconds` is how long it may take for an answer, from the one before it on.
        """
        self._left, self._take, self._seconds = len(records), take, seconds
        self._answered = asyncio.get_running_loop().create_future()
        writing = asyncio.ensure_future(self._write(records))
        try:
            async with asyncio.timeout(seconds) as self._timeout:
                await asyncio.wait({self._answered, self._reading}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            if self._left == 0:  # at the last moment
                return None
            return ProgramEnd(f"no answer within {seconds:g} s", is_late=True)
        finally:
            self._timeout = None
            self.is_up = self._left == 0 and not self._is_garbled and not self._reading.done()
            writing.cancel()
            await asyncio.wait({writing})
        return None if self._left == 0 else await self.find_end()

    async def close(self) -> None:
        """End it: there are no more records. Returns when it and all that it started have ended."""
        self.is_up = False
        self._program.end_input()
        await asyncio.wait({self._reading}, timeout=_FAREWELL_SECONDS)
        await self.kill()

    async def kill(self) -> None:
        """The same, at once."""
        self.is_up = False
        self._reading.cancel()
        await asyncio.wait({self._reading})
        await self._program.stop()
        self._log.end()

    async def find_end(self) -> ProgramEnd:
        """How it ended, once it has."""
        if self._is_garbled:
            return ProgramEnd("it can't be understood any more")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                code = await self._program.wait()
                if code > _SIGNALLED:
                    with contextlib.suppress(ValueError):
                        return ProgramEnd(signal.Signals(code - _SIGNALLED).name)
                return ProgramEnd(f"exit code {code}", is_clean=code == 0)
        return ProgramEnd("it closed its output")

    @property
    def last_line(self) -> str:
        """The last line that it printed."""
        return self._log.last

    def _greet(self, refused: str) -> None:
        if not self._greeting.done():
            self._greeting.set_result(refused)

    async def _write(self, records: Sequence[Value]) -> None:
        for data in self._speech.encode(records):
            await self._program.write(data)

    async def _read(self) -> None:
        """Until the program has ended."""
        try:
            await self._program.pump(self._show)
        finally:
            self.is_up = False

    async def _show(self, stream: int, data: bytes) -> None:
        if stream != 1:
            self._log.feed(data)
            return
        if self._is_garbled:
            return
        try:
            for answer in self._speech.feed(data):
                if not self._count(answer):
                    return
        except ProtocolError as error:
            self._is_garbled = True
            self._log.say(f"the program can't be understood any more: it gave {error}")
            self._settle()
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time() + self._seconds)

    def _count(self, answer: Answer) -> bool:
        """Whether it is one that was asked for."""
        if self._left == 0:
            self._is_garbled = True
            self.is_up = False
            self._complain(
                "there were more answers than records: which is whose can't be known; a record has one answer, in one line"
            )
            return False
        self._take(answer)
        self.answers += 1
        self._left -= 1
        if self._left == 0:
            self._settle()
        return True

    def _settle(self) -> None:
        if not self._answered.done():
            self._answered.set_result(None)
