"""Records on their way to jobs: taken by one job at a time, and gone when it says that they have ended.

    free --a job takes it--> taken --settled--> gone
                             taken --the job ends, or is lost--> free
    (a record that comes in while a job waits for one is taken from its beginning: agent.server.streams.waiters)

A job whose answer was lost asks again for the same turn, and gets what it had taken then.
"""

import base64
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from agent.errors import NotFoundError
from agent.server.events.changes import Changes
from agent.server.events.live import Bus, Listener
from agent.server.store import stream_queues
from agent.server.store.states import RecordForm
from agent.server.store.stream_queues import QueueKey, TakenRecord, TakingTurn
from agent.server.streams.stage_jobs import StageJob
from agent.server.streams.topics import queue_topic
from agent.server.streams.waiters import MOST_BYTES, WaitingTurns

_MOST_REMEMBERED = 1000
_LOOK_SECONDS = 2.0  # between looks for what jobs have left that run no more
_LONGEST_SLEEP_SECONDS = 5.0  # a wake-up from another server may be lost


class RecordView(msgspec.Struct):
    """A record: its identifier, its body (JSON; a text; `{"base64": …}` of other bytes), and what it is (`form`)."""

    id: str
    body: Any
    headers: dict[str, str]
    form: RecordForm


class RecordsView(msgspec.Struct):
    """Records that the job has taken, in the order in which they came."""

    records: list[RecordView]


class Taking:
    """The queues of this installation, as jobs see them."""

    def __init__(self, changes: Changes, bus: Bus, waiters: WaitingTurns) -> None:
        self._changes = changes
        self._bus = bus
        self._waiters = waiters
        self._numbers: OrderedDict[tuple[str, QueueKey], int] = OrderedDict()
        self._looked_at: dict[int, float] = {}

    async def take(
        self, job: StageJob, path: str, *, most: int, wait: float, turn: str, is_again: bool
    ) -> RecordsView:
        """Take the oldest records of the job's path; waits up to `wait` seconds for the first. Raises NotFoundError."""
        queue, holding = await self._number(job, path), TakingTurn(job.id, job.lease, turn)
        found = await self._list_taken(queue, holding) if is_again else []
        clock = self._changes.clock
        until = clock.monotonic() + wait
        with self._bus.listen(queue_topic(queue)) as listener:
            while not found:
                found = await self._take(queue, holding, most)
                left = until - clock.monotonic()
                if found or left <= 0 or self._bus.is_closing:
                    break
                found = await self._wait(queue, holding, most, listener, min(left, _LONGEST_SLEEP_SECONDS))
        return RecordsView([_view(record) for record in found])

    async def settle(self, job: StageJob, path: str, ids: Collection[str]) -> None:
        """What the job has taken has ended. Raises NotFoundError for a path that is not the job's."""
        queue = await self._number(job, path)
        async with self._changes.begin() as change:
            await stream_queues.settle_records(
                change.connection, queue, ids, holder=job.id, lease=job.lease, now=change.now
            )

    async def _number(self, job: StageJob, path: str) -> int:
        if path not in job.paths:
            raise NotFoundError("the job's flow does not receive there")
        key = QueueKey(job.project, job.flow, path)
        known = (job.id, key)
        if known not in self._numbers:
            async with self._changes.begin() as change:
                self._numbers[known] = await stream_queues.make_queue(change.connection, key, change.now)
            if len(self._numbers) > _MOST_REMEMBERED:
                self._numbers.popitem(last=False)
        return self._numbers[known]

    async def _list_taken(self, queue: int, holding: TakingTurn) -> Sequence[TakenRecord]:
        async with self._changes.database.read() as connection:
            return await stream_queues.list_taken(connection, queue, holding)

    async def _wait(
        self, queue: int, holding: TakingTurn, most: int, listener: Listener, seconds: float
    ) -> Sequence[TakenRecord]:
        """What comes in meanwhile; nothing: there may be free records to look for, or the time is over."""
        with self._waiters.wait(queue, holding, most) as waiter:
            waiter.served.add_done_callback(lambda _: listener.wake())
            await listener.wait(seconds)
        return () if waiter.served.cancelled() else await waiter.served

    async def _take(self, queue: int, holding: TakingTurn, most: int) -> Sequence[TakenRecord]:
        """A look that finds nothing writes nothing."""
        has_left = False
        async with self._changes.database.read() as connection:
            if self._is_time_to_look(queue):
                has_left = await stream_queues.has_left(connection, queue)
            if not has_left and not await stream_queues.has_free(connection, queue):
                return []
        async with self._changes.begin() as change:
            if has_left:
                await stream_queues.free_left(change.connection, queue)
            return await stream_queues.take_records(
                change.connection, queue, holding, most=most, most_bytes=MOST_BYTES
            )

    def _is_time_to_look(self, queue: int) -> bool:
        now = self._changes.clock.monotonic()
        is_time = now - self._looked_at.get(queue, float("-inf")) >= _LOOK_SECONDS
        if is_time:
            self._looked_at[queue] = now
        return is_time


def _view(record: TakenRecord) -> RecordView:
    body: Any
    match record.form:
        case RecordForm.JSON:
            body = msgspec.Raw(record.body)
        case RecordForm.TEXT:
            body = record.body.decode()
        case RecordForm.BYTES:
            body = {"base64": base64.b64encode(record.body).decode()}
    return RecordView(record.id, body, {"content-type": record.media} if record.media else {}, record.form)
