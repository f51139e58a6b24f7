"""The shell around the delivery: stages with I/O, triggers that fail, room, the end."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from agent.errors import AgentError
from agent.job.stages.actions.pure import PureStage
from agent.job.stages.delivery.batches import DeadLetter
from agent.job.stages.delivery.nodes import NodeSpec
from agent.job.stages.shell import triggers
from agent.job.stages.shell.shell import FlowShell
from agent.job.stages.stage import Done, Intake, StageError, StreamPosition, Value
from agent.spec.stages import StageRetry

pytestmark = pytest.mark.anyio
SOON = StageRetry(first=0.001, most=0.001)


class Voice:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    warn = say


class Sink:
    is_safe = True

    def __init__(self) -> None:
        self.dead: list[DeadLetter] = []

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        self.dead += letters

    def note_ended(self, origins: Sequence[object], now: float) -> None:
        pass


class Numbers:
    """A trigger: 0, 1, 2, ... in batches; remembers what it was told."""

    def __init__(self, batches: int, size: int = 1, *, fails: int = 0) -> None:
        self.batches, self.size, self.fails = batches, size, fails
        self.emitted = 0
        self.settled: list[object] = []
        self.is_closed = False

    async def run(self, intake: Intake) -> None:
        while self.emitted < self.batches:
            if self.fails:
                self.fails -= 1
                raise AgentError("the source has gone away")
            first = self.emitted * self.size
            self.emitted += 1
            await intake.emit(list(range(first, first + self.size)), StreamPosition("", self.emitted))

    async def settle(self, position: StreamPosition) -> None:
        assert not self.is_closed
        self.settled.append(position.at)

    async def close(self) -> None:
        self.is_closed = True


class Waiting:
    """A stage with I/O."""

    is_pure = False

    def __init__(self, work: Callable[[Sequence[Value]], Awaitable[Done]]) -> None:
        self.work = work

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass


class Flow:
    """in -> it -> end."""

    def __init__(self, trigger: Numbers, stage: Any, **spec: Any) -> None:
        self.trigger, self.sink = trigger, Sink()
        self.seen: list[Value] = []
        self.voices = {name: Voice() for name in ("in", "it", "end")}
        specs = [NodeSpec("in", ("it",), True), NodeSpec("it", ("end",), **spec), NodeSpec("end")]
        self.shell = FlowShell(
            specs, {"it": stage, "end": PureStage(self.see)}, {"in": trigger}, self.voices, self.sink
        )

    def see(self, batch: Sequence[Value]) -> Done:
        self.seen += batch
        return Done(batch)

    async def run(self) -> "Flow":
        async with asyncio.timeout(20):
            await self.shell.run()
        return self


async def test_a_stage_that_waits_works_on_as_many_batches_at_once_as_it_says() -> None:
    at_work, most = 0, 0
    everybody = asyncio.Event()

    async def work(batch: Sequence[Value]) -> Done:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        if at_work == 3:
            everybody.set()
        await everybody.wait()
        at_work -= 1
        return Done(batch)

    flow = await Flow(Numbers(9), Waiting(work), concurrency=3).run()
    assert most == 3
    assert sorted(flow.seen) == list(range(9))  # type: ignore[type-var]
    assert flow.trigger.settled[-1] == 9


async def test_one_batch_at_a_time_keeps_the_order() -> None:
    async def work(batch: Sequence[Value]) -> Done:
        await asyncio.sleep(0)
        return Done(batch)

    flow = await Flow(Numbers(50, 3), Waiting(work)).run()
    assert flow.seen == list(range(150))


async def test_a_stage_that_never_answers_fails_its_batch_and_the_flow_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.job.stages.shell.shell._ANSWER_SECONDS", 0.01)

    async def work(batch: Sequence[Value]) -> Done:
        if batch[0] == 1:
            await asyncio.Event().wait()
        return Done(batch)

    flow = await Flow(Numbers(3), Waiting(work), timeout_seconds=0.01, retry=StageRetry(attempts=1)).run()
    assert flow.seen == [0, 2]
    (letter,) = flow.sink.dead
    assert (letter.record, letter.cause) == (1, "the stage did not answer within 0.02 seconds")


async def test_an_error_that_nobody_thought_of_fails_its_record_and_no_other() -> None:
    def work(batch: Sequence[Value]) -> Done:
        return Done([10 // value for value in batch])  # type: ignore[operator]

    flow = await Flow(Numbers(1, 5), PureStage(work), retry=StageRetry(attempts=2, first=0.001)).run()
    assert flow.seen == [10, 5, 3, 2]
    (letter,) = flow.sink.dead
    assert letter.cause == "ZeroDivisionError: integer division or modulo by zero"
    assert letter.attempts == 2


async def test_a_record_that_fails_at_first_is_tried_again_until_it_is_done() -> None:
    tried: dict[Value, int] = {}

    async def work(batch: Sequence[Value]) -> Done:
        await asyncio.sleep(0)
        failed = {}
        for place, value in enumerate(batch):
            tried[value] = tried.get(value, 0) + 1
            if tried[value] < 3:
                failed[place] = StageError("not now")
        values = [value for place, value in enumerate(batch) if place not in failed]
        return Done(values, None, failed)

    flow = await Flow(Numbers(2, 4), Waiting(work), retry=SOON).run()
    assert sorted(flow.seen) == list(range(8))  # type: ignore[type-var]
    assert set(tried.values()) == {3}
    assert flow.shell.delivery.counts("it").retried == 16
    assert sum("not now" in line for line in flow.voices["it"].lines) == 1, (
        "said once in a while, not for each"
    )


async def test_a_trigger_that_fails_is_started_again_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triggers, "_AGAIN", SOON)
    flow = await Flow(Numbers(2, fails=2), PureStage(Done)).run()
    assert flow.seen == [0, 1]
    assert (
        sum("the source has gone away; it is started again" in line for line in flow.voices["in"].lines) == 2
    )


async def test_a_trigger_waits_while_a_stage_stands_still_and_what_was_not_settled_is_not_told() -> None:
    async def work(_batch: Sequence[Value]) -> Done:
        await asyncio.Event().wait()
        raise AssertionError

    flow = Flow(Numbers(1000, 1000), Waiting(work))
    running = asyncio.ensure_future(flow.shell.run())
    while flow.shell.describe(lambda now: now)["stages"][0]["state"] != "blocked":  # type: ignore[index]
        await asyncio.sleep(0)
    assert flow.trigger.emitted <= 6
    flow.shell.give_up()
    await running
    assert flow.trigger.settled == []
    assert flow.trigger.is_closed


async def test_a_flow_that_drains_brings_nothing_more_and_ends_what_is_on_its_way() -> None:
    go_on = asyncio.Event()

    async def work(batch: Sequence[Value]) -> Done:
        await go_on.wait()
        return Done(batch)

    flow = Flow(Numbers(1000, 1000), Waiting(work))
    running = asyncio.ensure_future(flow.shell.run())
    while flow.shell.describe(lambda now: now)["stages"][0]["state"] != "blocked":  # type: ignore[index]
        await asyncio.sleep(0)
    emitted = flow.trigger.emitted
    flow.shell.drain()
    go_on.set()
    await running
    assert len(flow.seen) == flow.trigger.settled[-1] * 1000  # type: ignore[operator]
    assert flow.trigger.settled[-1] in (emitted, emitted - 1), "the last one may have waited for room still"


async def test_settlement_waits_for_dead_letters_to_be_safe() -> None:
    flow = Flow(Numbers(1), PureStage(Done))
    flow.sink.is_safe = False
    running = asyncio.ensure_future(flow.shell.run())
    while not flow.seen:
        await asyncio.sleep(0)
    assert not running.done()
    flow.sink.is_safe = True
    flow.shell.pump_soon()
    await running
    assert flow.trigger.settled == [1]


async def test_a_stage_that_computes_for_long_is_given_less_at_once_so_that_others_have_their_turn() -> None:
    sizes: list[int] = []

    def work(batch: Sequence[Value]) -> Done:
        sizes.append(len(batch))
        until = time.thread_time() + 0.0001 * len(batch)
        while time.thread_time() < until:
            pass
        return Done(batch)

    flow = await Flow(Numbers(3, 1000), PureStage(work)).run()
    assert flow.seen == list(range(3000))
    assert sizes[0] in (999, 1000)
    assert max(sizes[1:]) < 100


async def test_small_batches_do_not_make_later_ones_small() -> None:
    sizes: list[int] = []

    def work(batch: Sequence[Value]) -> Done:
        sizes.append(len(batch))
        return Done(batch)

    class Growing(Numbers):
        async def run(self, intake: Intake) -> None:
            for number, size in enumerate((1, 2, 900, 1000)):
                await intake.emit([0] * size, StreamPosition("", number))

    await Flow(Growing(0), PureStage(work)).run()
    assert sorted(sizes)[-2:] in ([899, 999], [900, 1000])


async def test_one_record_that_fails_whole_batches_of_a_program_holds_up_no_other_for_ever() -> None:
    async def work(batch: Sequence[Value]) -> Done:
        await asyncio.sleep(0)
        if 3 in batch:
            raise StageError("the program has died")
        return Done(batch)

    retry = StageRetry(attempts=20, first=0.001, most=0.001)
    flow = await Flow(Numbers(1, 1000), Waiting(work), retry=retry).run()
    assert sorted(flow.seen) == [number for number in range(1000) if number != 3]  # type: ignore[type-var]
    assert [(letter.record, letter.attempts) for letter in flow.sink.dead] == [(3, 20)]
