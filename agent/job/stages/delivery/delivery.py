"""The rule of delivery: what a stage is given, what becomes of what it gives, and what is settled thereby.

    emit (a trigger) -> buffers of its outs -> take -> [the stage's work] -> finish -> buffers of its outs ... -> settled

A stage is given a batch when all of its outs have room for as much; a trigger asks `has_room` before it emits. What fails waits
for its next attempt in its stage's own buffer, and is overtaken meanwhile; what fails for good is a dead letter. A batch of a
trigger is settled when nothing that came of it is on its way, a lane of a trigger in the order of its positions.

Nothing here looks at a clock or draws a number: `now` is in seconds, and `drawn` from 0 to 1.
"""

import heapq
from collections.abc import Mapping, Sequence

from agent.job.stages.delivery.batches import Batch
from agent.job.stages.delivery.circles import find_live
from agent.job.stages.delivery.joining import join, measure_join, offer
from agent.job.stages.delivery.ledger import Ledger
from agent.job.stages.delivery.nodes import BATCH_RECORDS, Counts, Edge, NodeSpec, StageNode, build_nodes
from agent.job.stages.delivery.settling import Origin
from agent.job.stages.delivery.states import Passage, RecordEvent, RecordState
from agent.job.stages.stage import Done, StageError, StreamPosition, Value

_WHOLE_ATTEMPTS = 3
_NO_PARTNER = "what it was to be put together with can't come any more"
_CIRCLE = "the flow waited in a circle: no room at '{zip}' for as long as another of its predecessors brings nothing, which waits for this"


class FlowDelivery:
    """The records of a flow on their way. Its `ledger` says what has come of them."""

    def __init__(self, specs: Sequence[NodeSpec]) -> None:
        self._nodes = build_nodes(specs)
        self._backwards = tuple(node for node in reversed(self._nodes.values()) if not node.spec.is_trigger)
        self._zips = tuple(node for node in self._backwards if node.queues)
        self._edges = tuple(edge for node in self._zips for edge in node.queues)
        self.ledger = Ledger()
        self._again: list[tuple[float, int, Batch]] = []  # a heap: what is tried again, and when
        self._drawn = 0  # numbers of what is tried again

    # What triggers do

    def has_room(self, trigger: str, count: int, size_bytes: int) -> bool:
        """Whether a trigger may emit so much."""
        return not self._nodes[trigger].full_outs(count, size_bytes)

    def want(self, trigger: str, wants: tuple[int, int] | None) -> None:
        """A trigger waits for room, for so many records and bytes; None: not any more."""
        self._nodes[trigger].wants = wants

    def end(self, trigger: str) -> None:
        """A trigger brings no more."""
        self._nodes[trigger].ended = True

    def emit(
        self,
        trigger: str,
        values: Sequence[Value],
        position: StreamPosition,
        size_bytes: int,
        now: float,
        *,
        drawn: float = 0.0,
        is_watched: bool = False,
    ) -> None:
        """Take in what a trigger brings, up to `position`. Where it is watched, it is noted where its last record goes."""
        node = self._nodes[trigger]
        node.counts.accepted += len(values)
        node.counts.done += len(values)
        if not is_watched or not values:
            self._emit(node, values, position, size_bytes, now, drawn)
            return
        if len(values) > 1:
            self._emit(node, values[:-1], position, size_bytes, now, drawn, is_told=False)
        self._emit(node, values[-1:], position, size_bytes // len(values), now, drawn, is_watched=True)

    def _emit(
        self,
        node: StageNode,
        values: Sequence[Value],
        position: StreamPosition,
        size_bytes: int,
        now: float,
        drawn: float,
        *,
        is_told: bool = True,
        is_watched: bool = False,
    ) -> None:
        origin = self.ledger.begin(node.spec.name, position, now)
        origin.is_told = is_told
        if is_watched:
            origin.passages = []
            origin.sample = values[0]
        origin.open += 1  # ours, until all of it is handed on
        if values:
            self._hand_on(node, values, (origin,), (), size_bytes, now, drawn)
        self.ledger.let_go((origin,))

    def refuse(
        self, trigger: str, raw: Value, position: StreamPosition, error: StageError, now: float
    ) -> None:
        """What a trigger got is no record: a dead letter, settled in its order."""
        node = self._nodes[trigger]
        node.counts.accepted += 1
        node.counts.failed += 1
        node.counts.dead += 1
        origin = self.ledger.begin(trigger, position, now)
        origin.open += 1
        self.ledger.bury_raw(origin, raw, str(error), now)
        self.ledger.let_go((origin,))

    # What stages do

    def take(self, now: float) -> Batch | None:
        """The next work: a batch for its node's stage. The stages at the end of the graph come first, so that little is held."""
        if self._again and self._again[0][0] <= now:
            self._release(now)
        for node in self._backwards:
            if node.active < node.spec.concurrency and (batch := self._pick(node, now)) is not None:
                return self._start(batch, now)
        return None

    def finish(
        self, batch: Batch, done: Done, now: float, drawn: float = 0.0, size_bytes: int | None = None
    ) -> None:
        """A stage has worked on `batch`; `size_bytes` is about what it gives, as much as it got unless said."""
        node = self._nodes[batch.stage]
        node.active -= 1
        count = len(batch.values)
        node.reserve(-count, -batch.size_bytes)
        node.held -= count
        node.held_bytes -= batch.size_bytes
        failed = len(done.failed)
        finished = count - failed
        state = RecordState.DONE if finished else RecordState.FAILED
        error = str(next(iter(done.failed.values()))) if failed and not finished else ""
        passage = Passage(node.spec.name, state, batch.began, now - batch.began, batch.attempts + 1, error)
        path = (*batch.path, passage)
        self._watch(batch, passage)
        if failed:
            batch.failed_whole = failed == count > 1 and len(set(map(id, done.failed.values()))) == 1
            self._fail(batch, done.failed, now, drawn)
        if finished:
            sources = done.sources
            reached = finished if sources is None else len(set(sources))
            node.counts.done += finished
            node.counts.filtered += finished - reached
            if done.values:
                gives = batch.size_bytes if size_bytes is None else size_bytes
                self._hand_on(node, done.values, batch.origins, path, gives, now, drawn)
        batch.advance(RecordEvent.FINISH if finished else RecordEvent.FAIL)
        self.ledger.let_go(batch.origins)

    def resize(self, batch: Batch, factor: float) -> None:
        """Give the stage of a batch that many times as much at once, and never more than it asks for.

        It is given more only when it was given as much as it may have: a small batch says nothing of larger ones.
        """
        node = self._nodes[batch.stage]
        count = len(batch.values)
        if factor < 1 or count >= node.most:
            node.most = min(max(1, int(count * factor)), node.spec.most_records)

    def fail(self, batch: Batch, error: StageError, now: float, drawn: float = 0.0) -> None:
        """None of a batch could be done."""
        self.finish(batch, Done((), (), dict.fromkeys(range(len(batch.values)), error)), now, drawn)

    def retry_refused(self, now: float, drawn: float) -> None:
        """Count an attempt for what a zip refuses still, where its time has come."""
        for edge in self._edges:
            if not edge.refused or edge.due > now:
                continue
            sender = edge.sender
            count = sum(len(batch.values) for batch in edge.refused)
            edge.attempts += 1
            sender.counts.failed += count
            if edge.attempts >= sender.spec.retry.attempts:
                self._drop_refused(edge, f"there is no room at '{edge.zip.spec.name}'", now)
                continue
            sender.counts.retried += count
            edge.due = now + sender.spec.retry.wait(edge.attempts, drawn)

    def dissolve(self, now: float) -> bool:
        """Where stages wait in a circle, or for what can't come: end what they wait with, the oldest first. False: nowhere."""
        stuck = [node for node in self._zips if any(edge.queue or edge.refused for edge in node.queues)]
        if not stuck:
            return False
        live = find_live(tuple(self._nodes.values()), now)
        stuck = [node for node in stuck if node not in live]
        refused = [edge for node in stuck for edge in node.queues if edge.refused]
        if refused:
            oldest = min(refused, key=lambda edge: edge.refused[0].origins[0].number)
            self._drop_refused(oldest, _CIRCLE.format(zip=oldest.zip.spec.name), now)
            return True
        for edge in (edge for node in stuck for edge in node.queues):
            while edge.queue:
                batch = edge.queue.popleft()
                edge.count -= len(batch.values)
                self._end(batch, range(len(batch.values)), _NO_PARTNER, now)
                batch.advance(RecordEvent.END)
                self.ledger.let_go(batch.origins)
        return bool(stuck)

    # What there is to know

    def next_due(self) -> float | None:
        """When time alone changes something, if it does."""
        dues = [edge.due for edge in self._edges if edge.refused]
        dues += [node.buffer[0].due for node in self._backwards if node.buffer and node.spec.delay_seconds]
        if self._again:
            dues.append(self._again[0][0])
        return min(dues, default=None)

    def may_move(self, now: float) -> bool:
        """Whether anything on its way can still move without a trigger's help."""
        live = find_live(tuple(self._nodes.values()), now)
        return any(self._holds(node) for node in live)

    def counts(self, stage: str) -> Counts:
        """What happened to the records of a stage."""
        return self._nodes[stage].counts

    def state(self, stage: str) -> str:
        """In a word: `working`, `blocked` (it has records, and its outs no room), `retrying`, or `waiting` for records."""
        node = self._nodes[stage]
        if node.active:
            return "working"
        if node.buffer and node.full_outs(len(node.buffer[0].values), node.buffer[0].size_bytes):
            return "blocked"
        return "retrying" if node.waiting else "waiting"

    def buffered(self, stage: str) -> int:
        """How many records wait at a stage, or are at work."""
        node = self._nodes[stage]
        kept = sum(len(batch.values) for batch in node.buffer)
        return kept + sum(edge.count for edge in node.queues)

    def _hand_on(
        self,
        node: StageNode,
        values: Sequence[Value],
        origins: tuple[Origin, ...],
        path: tuple[Passage, ...],
        size_bytes: int,
        now: float,
        drawn: float,
    ) -> None:
        """Give every out all of it, in batches of a size that suits."""
        if len(values) > BATCH_RECORDS:
            part_bytes = size_bytes * BATCH_RECORDS // len(values)
            for start in range(0, len(values), BATCH_RECORDS):
                part = values[start : start + BATCH_RECORDS]
                self._hand_on(node, part, origins, path, part_bytes, now, drawn)
            return
        count = len(values)
        for out in node.outs:
            batch = Batch(values, origins, path, size_bytes, out.spec.name, now + out.spec.delay_seconds)
            batch.advance(RecordEvent.KEEP)
            out.buffer.append(batch)
            out.held += count
            out.held_bytes += size_bytes
            out.counts.accepted += count
        for edge in node.edges:
            batch = Batch(values, origins, path, size_bytes, edge.zip.spec.name)
            edge.zip.counts.accepted += count
            refused = offer(edge, batch, now, node.spec.retry.wait(1, drawn))
            node.counts.failed += refused
            node.counts.retried += refused

    def _pick(self, node: StageNode, now: float) -> Batch | None:
        """The next batch that a stage may have, out of its buffer; None when there is none, or no room for what comes of it."""
        if node.queues and not node.buffer:
            return self._join(node)
        if not node.buffer:
            return None
        batch = node.buffer[0]
        if batch.due > now or node.full_outs(len(batch.values), batch.size_bytes):
            return None
        node.buffer.popleft()
        most = node.most
        if len(batch.values) > most:
            rest = batch.part(slice(most, None))
            first = batch.part(slice(most))
            rest.size_bytes = batch.size_bytes - first.size_bytes
            node.buffer.appendleft(rest)
            self.ledger.let_go(batch.origins)
            return first
        return batch

    def _join(self, node: StageNode) -> Batch | None:
        measured = measure_join(node)
        if measured is None or node.full_outs(*measured):
            return None
        batch, taken = join(node, measured[0])
        for part in taken:
            self.ledger.let_go(part.origins)
        return batch

    def _start(self, batch: Batch, now: float) -> Batch:
        node = self._nodes[batch.stage]
        count = len(batch.values)
        if node.queues and batch.state is RecordState.ACCEPTED:  # just joined: it counts from now on
            batch.advance(RecordEvent.KEEP)
            node.held += count
            node.held_bytes += batch.size_bytes
        node.active += 1
        node.reserve(count, batch.size_bytes)
        node.counts.started += count
        batch.began = now
        batch.advance(RecordEvent.TAKE)
        return batch

    def _release(self, now: float) -> None:
        while self._again and self._again[0][0] <= now:
            _, _, batch = heapq.heappop(self._again)
            node = self._nodes[batch.stage]
            node.waiting -= 1
            for part in self._part_failed(batch):
                part.advance(RecordEvent.KEEP)
                node.buffer.append(part)

    def _part_failed(self, batch: Batch) -> tuple[Batch, ...]:
        """A batch that has failed as a whole again and again is tried in halves: one record of it may be what fails the others."""
        count = len(batch.values)
        if not batch.failed_whole or batch.attempts < _WHOLE_ATTEMPTS or count < 2:
            return (batch,)
        first, second = batch.part(slice(count // 2)), batch.part(slice(count // 2, None))
        second.size_bytes = batch.size_bytes - first.size_bytes
        self.ledger.let_go(batch.origins)
        return first, second

    def _fail(self, batch: Batch, failed: Mapping[int, StageError], now: float, drawn: float) -> None:
        """Some records of a batch failed: by their errors they are dead, or tried again together."""
        node = self._nodes[batch.stage]
        node.counts.failed += len(failed)
        is_last = batch.attempts + 1 >= node.spec.retry.attempts
        again: dict[float, list[int]] = {}  # by how long they are to be left alone
        for place, error in failed.items():
            if is_last or error.is_final:
                self._end(batch, (place,), str(error), now)
            else:
                again.setdefault(error.after, []).append(place)
        for after, places in again.items():
            self._try_again(batch, sorted(places), str(failed[places[-1]]), now, drawn, after)

    def _try_again(
        self, batch: Batch, places: Sequence[int], error: str, now: float, drawn: float, after: float
    ) -> None:
        node = self._nodes[batch.stage]
        other = batch.part(places)
        other.attempts += 1
        other.error = error
        other.advance(RecordEvent.FAIL)
        other.advance(RecordEvent.WAIT)
        other.due = 0.0
        node.counts.retried += len(places)
        node.held += len(places)
        node.held_bytes += other.size_bytes
        node.waiting += 1
        self._drawn += 1
        due = now + max(after, node.spec.retry.wait(other.attempts, drawn))
        heapq.heappush(self._again, (due, self._drawn, other))

    def _end(self, batch: Batch, places: Sequence[int], cause: str, now: float) -> None:
        """Records of a batch are dead letters."""
        self._nodes[batch.stage].counts.dead += len(places)
        self.ledger.bury(batch, places, cause, now)

    def _drop_refused(self, edge: Edge, cause: str, now: float) -> None:
        while edge.refused:
            batch = edge.refused.popleft()
            batch.attempts = edge.attempts - 1
            self._end(batch, range(len(batch.values)), cause, now)
            batch.advance(RecordEvent.END)
            self.ledger.let_go(batch.origins)
        edge.attempts = 0

    def _watch(self, batch: Batch, passage: Passage) -> None:
        for origin in batch.origins:
            if origin.passages is not None:
                origin.passages.append(passage)

    def _holds(self, node: StageNode) -> bool:
        return bool(node.active or node.waiting or node.buffer or any(edge.queue for edge in node.queues))
