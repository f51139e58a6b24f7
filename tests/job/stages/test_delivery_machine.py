"""Deliveries of all kinds, at random: nothing is lost, all settles in order, nothing starves or waits for ever, buffers are bounded.

Each record is a name; the test counts its copies by itself, from what it sees go in and come out. A crash forgets the delivery and
goes on from what was settled, as a supervisor that was killed does.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.job.stages.delivery.batches import Batch
from agent.job.stages.delivery.delivery import FlowDelivery
from agent.job.stages.delivery.nodes import NodeSpec
from agent.job.stages.stage import Done, StageError, StreamPosition
from agent.spec.stages import StageRetry

LANES = ("", "b")
BUFFER = 6
BIGGEST = 4  # batch that a trigger emits


@st.composite
def graphs(draw: st.DrawFn) -> list[NodeSpec]:
    """Triggers, then stages; each stage has predecessors among those before it, some are zips, some wait or work twice at once."""
    triggers = draw(st.integers(1, 2))
    count = draw(st.integers(1, 6))
    names = [f"t{n}" for n in range(triggers)] + [f"s{n}" for n in range(count)]
    outs: dict[str, list[str]] = {name: [] for name in names}
    for place in range(triggers, len(names)):
        before = st.sampled_from(names[:place])
        for sender in draw(st.lists(before, min_size=1, max_size=3, unique=True)):
            outs[sender].append(names[place])
    specs = []
    for name in names:
        is_trigger = name.startswith("t")
        retry = StageRetry(attempts=draw(st.integers(1, 3)), first=1.0, jitter=0.5)
        kind = "trigger" if is_trigger else draw(st.sampled_from(["plain", "plain", "zip", "delay", "twice"]))
        specs.append(
            NodeSpec(
                name,
                tuple(outs[name]),
                is_trigger,
                retry,
                concurrency=2 if kind == "twice" else 1,
                buffer_records=BUFFER,
                most_records=draw(st.integers(1, 5)),
                delay_seconds=2.0 if kind == "delay" else 0.0,
                event_limit=draw(st.integers(1, 4)) if kind == "zip" else 0,
            )
        )
    return specs


def names_in(value: Any) -> Iterator[tuple[str, str, int]]:
    """The records that a value is made of: those of a zip's are lists."""
    if isinstance(value, list):
        for item in value:
            yield from names_in(item)
    else:
        yield value


class Deliveries(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.specs: list[NodeSpec] = []
        self.now = 0.0
        self.maps = False

    @initialize(specs=graphs())
    def begin(self, specs: list[NodeSpec]) -> None:
        self.specs = specs
        self.outs = {spec.name: len(spec.out) for spec in specs}
        self.triggers = [spec.name for spec in specs if spec.is_trigger]
        self.settled = {(trigger, lane): 0 for trigger in self.triggers for lane in LANES}
        self.start()

    def start(self) -> None:
        self.delivery = FlowDelivery(self.specs)
        self.emitted = dict(self.settled)
        self.copies: Counter[tuple[str, str, int]] = Counter()
        self.working: list[Batch] = []
        self.ended: set[str] = set()
        self.blocked: set[str] = set()

    @precondition(lambda self: self.specs)
    @rule(data=st.data(), count=st.integers(0, BIGGEST), is_watched=st.booleans())
    def emit(self, data: st.DataObject, count: int, is_watched: bool) -> None:
        trigger, lane = data.draw(st.sampled_from(sorted(self.settled)))
        if trigger in self.ended:
            return
        if not self.delivery.has_room(trigger, count, count):
            self.delivery.want(trigger, (count, count))
            self.blocked.add(trigger)
            return
        self.delivery.want(trigger, None)
        self.blocked.discard(trigger)
        first = self.emitted[trigger, lane]
        values = [(trigger, lane, first + n) for n in range(count)]
        self.emitted[trigger, lane] += count
        for value in values:
            self.copies[value] += self.outs[trigger]
        position = StreamPosition(lane, first + count)
        self.delivery.emit(trigger, values, position, count, self.now, drawn=0.5, is_watched=is_watched)
        self.look()

    @precondition(lambda self: self.specs)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        trigger, lane = data.draw(st.sampled_from(sorted(self.settled)))
        if trigger in self.ended:
            return
        self.emitted[trigger, lane] += 1
        name = (trigger, lane, self.emitted[trigger, lane] - 1)
        self.copies[name] += 1
        position = StreamPosition(lane, self.emitted[trigger, lane])
        self.delivery.refuse(trigger, name, position, StageError("no record", is_final=True), self.now)
        self.look()

    @precondition(lambda self: self.specs)
    @rule()
    def take(self) -> None:
        batch = self.delivery.take(self.now)
        if batch is not None:
            spec = next(spec for spec in self.specs if spec.name == batch.stage)
            assert sum(1 for other in self.working if other.stage == batch.stage) < spec.concurrency
            assert len(batch.values) <= spec.most_records or spec.event_limit
            self.working.append(batch)

    @precondition(lambda self: self.specs and self.working)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        batch = self.working.pop(data.draw(st.integers(0, len(self.working) - 1)))
        fates = st.sampled_from(["on", "on", "on", "filtered", "mapped", "failed", "dead"])
        failed: dict[int, StageError] = {}
        values, sources = [], []
        for place, value in enumerate(batch.values):
            match data.draw(fates):
                case "failed":
                    failed[place] = StageError("not now")
                    continue
                case "dead":
                    failed[place] = StageError("never", is_final=True)
                    continue
                case "filtered":
                    given = 0
                case "mapped":
                    given, self.maps = 2, True
                case _:
                    given = 1
            values += [value] * given
            sources += [place] * given
            self.count(value, given * self.outs[batch.stage] - 1)
        self.delivery.finish(batch, Done(values, sources, failed), self.now, 0.5)
        self.look()

    @precondition(lambda self: self.specs and self.working)
    @rule()
    def fail_whole(self) -> None:
        self.delivery.fail(self.working.pop(), StageError("nobody answers"), self.now, 0.5)
        self.look()

    @precondition(lambda self: self.specs)
    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.delivery.retry_refused(self.now, 0.5)
        self.look()

    @precondition(lambda self: self.specs)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        trigger = data.draw(st.sampled_from(self.triggers))
        self.ended.add(trigger)
        self.delivery.want(trigger, None)
        self.blocked.discard(trigger)
        self.delivery.end(trigger)

    @precondition(lambda self: self.specs)
    @rule()
    def crash(self) -> None:
        self.start()

    @precondition(lambda self: self.specs)
    @rule()
    def settle_down(self) -> None:
        """Everybody does what he can; then all that is left waits for a trigger that may bring something."""
        for _ in range(2000):
            if not self.work_on():
                break
        else:
            raise AssertionError("it never comes to rest")
        if all(trigger in self.ended | self.blocked for trigger in self.triggers):
            waiting = [t for t in self.blocked if not self.delivery.has_room(t, *self.wants(t))]
            assert not waiting, "a trigger waits for room that will never be"
            if self.ended >= set(self.triggers):
                assert self.delivery.ledger.is_empty
                assert not +self.copies

    def wants(self, trigger: str) -> tuple[int, int]:
        return self.delivery._nodes[trigger].wants or (0, 0)

    def work_on(self) -> bool:
        """One move; False when nobody has one."""
        if self.working:
            batch = self.working.pop(0)
            for value in batch.values:
                self.count(value, self.outs[batch.stage] - 1)
            self.delivery.finish(batch, Done(batch.values), self.now, 0.5)
        elif (taken := self.delivery.take(self.now)) is not None:
            self.working.append(taken)
        elif self.delivery.dissolve(self.now):
            pass
        elif self.delivery._again or any(
            node.buffer and node.buffer[0].due > self.now for node in self.delivery._backwards
        ):
            self.now = max(self.now, self.delivery.next_due() or 0.0) + 0.01
            self.delivery.retry_refused(self.now, 0.5)
        else:
            return False
        self.look()
        return True

    def look(self) -> None:
        for letter in self.delivery.ledger.take_dead():
            self.count(letter.record, -1)
        for trigger, (lane, at) in self.delivery.ledger.take_settled():
            assert isinstance(at, int)
            assert at >= self.settled[trigger, lane], "positions settle in order"
            for number in range(self.settled[trigger, lane], at):
                assert not self.copies[trigger, lane, number], "settled while it was on its way"
            self.settled[trigger, lane] = at

    def count(self, value: Any, change: int) -> None:
        for name in names_in(value):
            self.copies[name] += change
            assert self.copies[name] >= 0

    @invariant()
    def all_that_ended_is_settled(self) -> None:
        if not self.specs or +self.copies:
            return
        assert self.delivery.ledger.is_empty
        assert self.settled == self.emitted

    @invariant()
    def buffers_are_bounded(self) -> None:
        if not self.specs:
            return
        for node in self.delivery._nodes.values():
            assert node.held >= 0
            if not self.maps:
                assert node.held <= max(BUFFER, BIGGEST * 2)
            for edge in node.queues:
                assert edge.count == sum(len(batch.values) for batch in edge.queue) <= node.spec.event_limit
                if not self.maps:
                    assert sum(len(batch.values) for batch in edge.refused) <= BIGGEST * 4

    @invariant()
    def chains_are_short(self) -> None:
        if not self.specs:
            return
        for lane in self.delivery.ledger.lanes.values():
            open_ones = sum(1 for _ in open_origins(lane))
            assert len(lane) <= 2 * open_ones


def open_origins(lane: Any) -> Iterator[Any]:
    origin = lane._first
    while origin is not None:
        if origin.open:
            yield origin
        origin = origin.after


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
