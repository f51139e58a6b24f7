"""A trigger while its flow runs: started again when it fails, held up while there is no room, told what is settled.

running --it fails--> waiting --its time has come--> running
running --it brings no more, or was stopped--> ended
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Protocol

from agent.errors import AgentError
from agent.job.stages.delivery.delivery import FlowDelivery
from agent.job.stages.shell.weighing import weigh
from agent.job.stages.stage import StageError, StreamPosition, TriggerStage, Value
from agent.spec.stages import StageRetry

_SETTLE_SECONDS = 0.1  # between two times that a trigger is told: what a crash may double, at most
_AGAIN = StageRetry(first=1.0, most=60.0, jitter=0.0)
_LAST_SETTLE_SECONDS = 30.0  # that a trigger may take at the end to note what is settled


class TriggerPlace(Protocol):
    """The shell, as a trigger has it."""

    delivery: FlowDelivery

    def emit(self, trigger: str, values: Sequence[Value], position: StreamPosition, size_bytes: int) -> None:
        """Take in a batch for which there is room."""
        ...

    def refuse(self, trigger: str, raw: Value, position: StreamPosition, error: StageError) -> None:
        """Take in what is no record."""
        ...

    def end(self, trigger: str) -> None:
        """It brings no more."""
        ...


class TriggerVoice(Protocol):
    """Where a trigger's words go."""

    def say(self, line: str) -> None:
        """A line of its log."""
        ...

    def warn(self, line: str) -> None:
        """The same, and an annotation of the job."""
        ...


class RunningTrigger:
    """One trigger of a running flow, and its intake."""

    def __init__(self, name: str, trigger: TriggerStage, place: TriggerPlace, voice: TriggerVoice) -> None:
        self.name = name
        self._trigger = trigger
        self._place = place
        self._voice = voice
        self._task: asyncio.Task[None] | None = None
        self._teller: asyncio.Task[None] | None = None
        self._settled: dict[str, StreamPosition] = {}
        self._wants: tuple[int, int] | None = None
        self._room: asyncio.Future[None] | None = None
        self._closing = asyncio.Event()
        self.has_ended = False
        self._has_failed = False  # and waits to be started again

    @property
    def state(self) -> str:
        """In a word."""
        if self.has_ended:
            return "ended"
        return "blocked" if self._wants else ("failed" if self._has_failed else "running")

    def start(self) -> None:
        """Begin to bring records."""
        self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        """Bring no more."""
        if self._task is not None:
            self._task.cancel()

    async def emit(self, values: Sequence[Value], position: StreamPosition, size_bytes: int = 0) -> None:
        """Hand on a batch, when there is room. A batch without records only moves the position on."""
        size_bytes = size_bytes or weigh(values)
        wants = (len(values), size_bytes)
        while not self._place.delivery.has_room(self.name, *wants):
            self._wants = wants
            self._place.delivery.want(self.name, wants)
            self._room = asyncio.get_running_loop().create_future()
            try:
                await self._room
            finally:
                self._wants = self._room = None
                self._place.delivery.want(self.name, None)
        self._place.emit(self.name, values, position, size_bytes)

    def fail(self, raw: object, position: StreamPosition, error: StageError) -> None:
        """What came in is no record."""
        self._place.refuse(self.name, raw, position, error)

    def wake(self) -> None:
        """Go on, if there is room by now."""
        room, wants = self._room, self._wants
        if (
            room is not None
            and wants is not None
            and not room.done()
            and self._place.delivery.has_room(self.name, *wants)
        ):
            room.set_result(None)

    def note_settled(self, position: StreamPosition) -> None:
        """Tell the trigger, soon, that a lane is settled up to there."""
        self._settled[position.lane] = position
        if self._teller is None:
            self._teller = asyncio.ensure_future(self._tell_often())

    async def close(self) -> None:
        """The flow is over: the trigger learns what is settled, and closes."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._closing.set()
        try:
            async with asyncio.timeout(_LAST_SETTLE_SECONDS):
                if self._teller is not None:
                    await self._teller
                await self._tell()
                await self._trigger.close()
        except TimeoutError:
            self._voice.warn("what was settled last could not be noted in time: it comes again")
        except AgentError as error:
            self._voice.warn(f"what was settled last could not be noted, and comes again: {error}")

    async def _run(self) -> None:
        attempts = 0
        try:
            while True:
                began = asyncio.get_running_loop().time()
                try:
                    await self._trigger.run(self)
                except Exception as error:  # noqa: BLE001 - whatever it is, it may go better the next time, and is said
                    if asyncio.get_running_loop().time() - began > _AGAIN.most:
                        attempts = 0
                    attempts += 1
                    wait = _AGAIN.wait(attempts, 0.0)
                    said = str(error) if isinstance(error, AgentError) else f"{type(error).__name__}: {error}"
                    self._voice.warn(f"{said}; it is started again in {wait:g} s")
                    self._has_failed = True
                    await asyncio.sleep(wait)
                    self._has_failed = False
                else:
                    return
        finally:
            self.has_ended = True
            self._place.end(self.name)

    async def _tell_often(self) -> None:
        attempts = 0
        while self._settled and not self._closing.is_set():
            try:
                await self._tell()
                attempts = 0
            except AgentError as error:
                attempts += 1
                if attempts == 1:
                    self._voice.say(f"what is settled can't be noted now: {error}")
            pause = _AGAIN.wait(attempts, 0.0) if attempts else _SETTLE_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pause)
        self._teller = None

    async def _tell(self) -> None:
        """Tell the trigger of each lane that has got further."""
        for lane, position in list(self._settled.items()):
            await self._trigger.settle(position)
            if self._settled.get(lane) == position:
                del self._settled[lane]
