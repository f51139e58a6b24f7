"""Runs the stages and triggers of one flow, until all has settled or somebody asks for the end.

    run     open the stages -> start the triggers -> pump -> all settled (or nothing moves any more) -> close

`drain`: triggers stop; what is on its way goes on to its end. `give_up`: no time is left; what is on its way comes again, from
where it came. A stage without I/O works in the pump itself, a slice of the loop's time at a time; one with I/O is a task.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Protocol

from agent.errors import AgentError
from agent.job.stages.delivery.batches import Batch, DeadLetter
from agent.job.stages.delivery.delivery import FlowDelivery
from agent.job.stages.delivery.nodes import NodeSpec
from agent.job.stages.delivery.settling import Origin
from agent.job.stages.kept.records import RecordWatch
from agent.job.stages.shell.failing import as_stage_error, fail_all, isolate
from agent.job.stages.shell.figures import FiguresOfStages
from agent.job.stages.shell.triggers import RunningTrigger
from agent.job.stages.shell.weighing import weigh
from agent.job.stages.stage import Done, Stage, StageError, StreamPosition, TriggerStage, Value

_ANSWER_SECONDS = 1.0
_SLICE_SECONDS = 0.008  # of the loop's time, that the pump takes at once


class StageVoice(Protocol):
    """Where a stage's words go."""

    def say(self, line: str) -> None:
        """A line of its log."""
        ...

    def warn(self, line: str) -> None:
        """The same, and an annotation of the job."""
        ...


class FlowSink(Protocol):
    """Where the rest goes."""

    @property
    def is_safe(self) -> bool:
        """Whether all dead letters are where they stay: what they came of is not told as settled before."""
        ...

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep dead letters. Raises AgentError when they can't be kept."""
        ...

    def note_ended(self, origins: Sequence[Origin], now: float) -> None:
        """Watched records of which nothing is on its way any more."""
        ...


class FlowShell:
    """Runs one flow. `stages` and `triggers` are made, by their names in `specs`."""

    def __init__(
        self,
        specs: Sequence[NodeSpec],
        stages: Mapping[str, Stage],
        triggers: Mapping[str, TriggerStage],
        voices: Mapping[str, StageVoice],
        sink: FlowSink,
    ) -> None:
        self._specs = specs
        self._timeouts = {spec.name: spec.timeout_seconds for spec in specs}
        self._outs = {spec.name: bool(spec.out) for spec in specs}
        self._stages = stages
        self._voices = voices
        self._sink = sink
        self.delivery = FlowDelivery(specs)
        self.figures = FiguresOfStages(spec.name for spec in specs)
        self._triggers = {
            name: RunningTrigger(name, trigger, self, voices[name]) for name, trigger in triggers.items()
        }
        self._draw = random.Random().random  # noqa: S311 - when to try again
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._watch = RecordWatch()
        self._is_pumping = False
        self._is_draining = False
        self._pump_again: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.has_begun = False  # stages are open: what fails from now on is no mistake in the flow
        self._failure: AgentError | None = None
        self._bug: Exception | None = None

    async def run(self) -> None:
        """The flow from its opening to its end. Raises AgentError when it can't go on."""
        opened: list[Stage] = []
        try:
            for name, stage in self._stages.items():
                await self._open(name, stage)
                opened.append(stage)
            for spec in self._specs:
                if spec.is_trigger and spec.name not in self._triggers:
                    self.delivery.end(spec.name)
            self.has_begun = True
            for trigger in self._triggers.values():
                trigger.start()
            self.pump()
            await self._over.wait()
        finally:
            await self._close(opened)
        if self._bug is not None:
            raise self._bug
        if self._failure is not None:
            raise self._failure

    def drain(self) -> None:
        """Bring nothing any more; what is on its way goes to its end."""
        if self._is_draining:
            return
        self._is_draining = True
        for trigger in self._triggers.values():
            trigger.stop()
        self.pump()

    def describe(self, wall: Callable[[float], float]) -> dict[str, object]:
        """The figures of now."""
        return {
            "at": round(wall(time.monotonic()), 3),
            "stages": [self._describe_stage(spec) for spec in self._specs],
        }

    def give_up(self) -> None:
        """End at once."""
        self.drain()
        self._over.set()

    # What triggers ask for (agent.job.stages.shell.triggers)

    def emit(self, trigger: str, values: Sequence[Value], position: StreamPosition, size_bytes: int) -> None:
        """Take in a batch for which there is room."""
        self.figures.note(trigger, len(values), 0.0)
        now = time.monotonic()
        drawn, is_watched = self._draw(), self._watch.wants(now)
        self.delivery.emit(trigger, values, position, size_bytes, now, drawn=drawn, is_watched=is_watched)
        self.pump_soon()

    def refuse(self, trigger: str, raw: Value, position: StreamPosition, error: StageError) -> None:
        """Take in what is no record."""
        self.delivery.refuse(trigger, raw, position, error, time.monotonic())
        self.pump_soon()

    def end(self, trigger: str) -> None:
        """It brings no more."""
        self.delivery.end(trigger)
        self.pump_soon()

    def fail(self, error: AgentError) -> None:
        """The flow can't go on."""
        if self._failure is None:
            self._failure = error
        self.give_up()

    # The pump

    def pump_soon(self) -> None:
        """Have the pump run, once whoever runs now waits for something."""
        if self._pump_again is None and not self._over.is_set():
            self._pump_again = asyncio.get_running_loop().call_soon(self.pump)

    def pump(self) -> None:
        """Have stages work on all that there is for them, for a slice of time; and look what has come of it."""
        if self._pump_again is not None:
            self._pump_again.cancel()
            self._pump_again = None
        if self._is_pumping or self._over.is_set():
            return
        self._is_pumping = True
        until = time.perf_counter() + _SLICE_SECONDS
        try:
            while True:
                now = time.monotonic()
                batch = self.delivery.take(now)
                if batch is not None:
                    self._work(batch)
                    if time.perf_counter() > until:
                        self.pump_soon()
                        break
                elif self._is_draining or not self.delivery.dissolve(now):
                    break
            self._look_around(time.monotonic())
        except AgentError as error:
            self.fail(error)
        except Exception as error:  # noqa: BLE001 - a bug of ours: whoever waits for the flow's end gets it
            self._bug = error
            self._over.set()
        finally:
            self._is_pumping = False

    def _work(self, batch: Batch) -> None:
        name = batch.stage
        stage = self._stages[name]
        began = time.thread_time()
        try:
            done = stage.work(batch.values)
        except Exception as error:  # noqa: BLE001 - whatever a stage raises is its records' failure, and the flow goes on
            done = isolate(stage, batch, error)
        if isinstance(done, Done):
            self._suit(batch, time.thread_time() - began)
            self._finish(batch, done)
            return
        task = asyncio.ensure_future(self._wait_for(batch, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _suit(self, batch: Batch, seconds: float) -> None:
        """Batches of a stage that computes have a size that holds nobody up: smaller ones where they take long, larger ones again later."""
        if seconds > _SLICE_SECONDS:
            self.delivery.resize(batch, _SLICE_SECONDS / seconds / 2)
        elif seconds < _SLICE_SECONDS / 4:
            self.delivery.resize(batch, 2)

    async def _wait_for(self, batch: Batch, work: Awaitable[Done]) -> None:
        seconds = self._longest(batch)
        try:
            async with asyncio.timeout(seconds):
                done = await work
        except TimeoutError:
            said = f" within {seconds:g} seconds" if seconds else " in time"
            done = fail_all(batch, StageError(f"the stage did not answer{said}"))
        except Exception as error:  # noqa: BLE001 - as above
            done = fail_all(batch, as_stage_error(error))
        self._finish(batch, done)
        if (task := asyncio.current_task()) is not None:
            self._tasks.discard(task)  # now: the pump looks whether anything is still at work
        self.pump()

    def _longest(self, batch: Batch) -> float | None:
        """How long a batch may take: as long as each of its records, one after the other, and a little for the stage to say so itself."""
        seconds = self._timeouts[batch.stage]
        if getattr(self._stages[batch.stage], "keeps_time", False):
            return None
        return None if seconds is None else seconds * len(batch.values) + _ANSWER_SECONDS

    def _finish(self, batch: Batch, done: Done) -> None:
        now = time.monotonic()
        name = batch.stage
        self.figures.note(name, len(batch.values) - len(done.failed), now - batch.began)
        if done.failed:
            self._say_failure(name, done.failed)
        self.delivery.finish(batch, done, now, self._draw(), weigh(done.values) if self._outs[name] else 0)

    def _say_failure(self, name: str, failed: Mapping[int, StageError]) -> None:
        self.figures.say_error(name, str(next(iter(failed.values()))), len(failed), self._voices[name].say)

    def _look_around(self, now: float) -> None:
        """What has come of the work: dead letters are kept, then what is settled is told; who waits for room is woken."""
        ledger = self.delivery.ledger
        dead = ledger.take_dead()
        if dead:
            self._sink.bury(dead)
        ended = ledger.take_ended()
        if ended:
            self._sink.note_ended(ended, now)
        if self._sink.is_safe:
            for trigger, position in ledger.take_settled():
                self._triggers[trigger].note_settled(position)
        for running in self._triggers.values():
            running.wake()
        if self._is_over(now):
            self._over.set()
            return
        self._set_timer(now)

    def _is_over(self, now: float) -> bool:
        if self._tasks or self._pump_again is not None or not self._sink.is_safe:
            return False
        if all(trigger.has_ended for trigger in self._triggers.values()) and self.delivery.ledger.is_empty:
            return True
        return (
            self._is_draining
            and all(trigger.has_ended for trigger in self._triggers.values())
            and not self.delivery.may_move(now)
        )

    def _describe_stage(self, spec: NodeSpec) -> dict[str, object]:
        name = spec.name
        figures = self.figures.stages[name]
        return {
            "name": name,
            "state": self._describe_state(name),
            "buffered": self.delivery.buffered(name),
            **asdict(self.delivery.counts(name)),
            "seconds": figures.buckets,
            "seconds_sum": round(figures.sum, 6),
        }

    def _describe_state(self, name: str) -> str:
        if self._over.is_set():
            return "ended"
        trigger = self._triggers.get(name)
        if trigger is not None:
            return trigger.state
        if name not in self._stages:
            return "ended"
        return self.delivery.state(name)

    def _set_timer(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.delivery.next_due()
        if due is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.001, due - now), self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self.delivery.retry_refused(time.monotonic(), self._draw())
        self.pump()

    async def _open(self, name: str, stage: Stage) -> None:
        try:
            await stage.open()
        except AgentError as error:
            raise AgentError(
                f"stage '{name}' can't be opened: {error.what}", where=error.where, hint=error.hint
            ) from None

    async def _close(self, opened: Sequence[Stage]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for trigger in self._triggers.values():
            await trigger.close()
        for stage in opened:
            await stage.close()
