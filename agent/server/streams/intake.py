"""The intake: records that are sent to flows, kept before their senders are answered.

Those that come while others are being written down are written down together, with the next commit: under load the disk is
asked once for many.

    sent --> waiting --its batch is committed--> kept: 202
                |------the project's queues are full----> refused: 429, and the sender comes back
                |------the database can't be used-------> refused: 503, and the sender comes back

`Idempotency-Key`: a record's identifier follows from its queue and the key, and the key is remembered with the record, so that what is
sent again is answered with the same identifier and kept once.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.errors import AgentError, UsageError
from agent.ids import ENTROPY_BYTES, make_id
from agent.server.events.changes import Change, Changes
from agent.server.pools import OverloadedError
from agent.server.process.problems import TooManyError
from agent.server.store import idempotency, locks, projects, stream_queues
from agent.server.store.stream_queues import NewRecord, QueueKey
from agent.server.streams.sent import SentRecord
from agent.server.streams.topics import queue_topic
from agent.server.streams.waiters import WaitingTurn, WaitingTurns

_MOST_AT_ONCE = 1000
_MOST_BYTES_AT_ONCE = 16 << 20
_KEY_SECONDS = 24 * 3600.0
_FORGET_SECONDS = 60.0
_RETRY_SECONDS = 10
_STEP_SECONDS = 1e-6  # between records that come at the same moment: they stay in their order


@dataclass(slots=True)
class _Waiting:
    queue: QueueKey
    sent: SentRecord
    record: NewRecord
    kept: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


_Drawn = tuple[WaitingTurn, Sequence[NewRecord]]


class RecordIntake:
    """Where records come in, of one server process."""

    def __init__(self, changes: Changes, key: bytes, waiters: WaitingTurns) -> None:
        self._changes = changes
        self._key = key
        self._waiters = waiters
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None
        self._last_at = 0.0
        self._forgot_at = float("-inf")

    async def keep(self, queue: QueueKey, sent: SentRecord) -> str:
        """Keep a record, durably: its identifier.

        Raises TooManyError when the project's queues are full, UsageError for a key that was another record's, UnavailableError.
        """
        self._last_at = max(self._changes.clock.now(), self._last_at + _STEP_SECONDS)
        record = NewRecord(self._name(queue, sent), sent.form, sent.media, sent.body, self._last_at)
        waiting = _Waiting(queue, sent, record)
        self._waiting.append(waiting)
        if self._task is None:
            self._task = asyncio.create_task(self._write_all())
        return await waiting.kept

    def _name(self, queue: QueueKey, sent: SentRecord) -> str:
        if not sent.key:
            return make_id("record", secrets.token_bytes(ENTROPY_BYTES))
        return make_id("record", self._digest("record", _owner(queue), sent.key)[:ENTROPY_BYTES])

    def _digest(self, *parts: str | bytes) -> bytes:
        said = b"".join(
            len(raw).to_bytes(8, "big") + raw
            for part in parts
            for raw in [part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")]
        )
        return hmac.digest(self._key, b"stream-records/1\0" + said, hashlib.sha256)

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await self._write(self._cut())
        finally:
            self._task = None

    def _cut(self) -> list[_Waiting]:
        """Those that are written down together."""
        size = count = 0
        for waiting in self._waiting[:_MOST_AT_ONCE]:
            size += waiting.record.size_bytes
            if count and size > _MOST_BYTES_AT_ONCE:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        """Answer each of a batch. One that can't be kept hurts no other."""
        refused: dict[int, AgentError] = {}
        drawn: list[_Drawn] = []
        try:
            async with self._changes.begin() as change:
                await self._forget_keys(change)
                for project in sorted({waiting.queue.project for waiting in batch}):
                    of_project = [waiting for waiting in batch if waiting.queue.project == project]
                    refused |= await self._write_project(change, project, of_project, drawn)
        except BaseException as error:
            for waiter, _ in drawn:
                waiter.serve(())
            self._answer(batch, {id(waiting): _as_refusal(error) for waiting in batch})
            if not isinstance(error, Exception):
                raise
            return
        for waiter, records in drawn:
            waiter.serve(records)
        self._answer(batch, refused)

    def _answer(self, batch: Sequence[_Waiting], refused: Mapping[int, Exception]) -> None:
        """Tell each what became of it: those that are not refused are kept."""
        for waiting in batch:
            if waiting.kept.done():
                continue
            if id(waiting) in refused:
                waiting.kept.set_exception(refused[id(waiting)])
                waiting.kept.exception()  # who sent it may be gone
            else:
                waiting.kept.set_result(waiting.record.id)

    async def _write_project(
        self, change: Change, project: int, batch: Sequence[_Waiting], drawn: list[_Drawn]
    ) -> dict[int, AgentError]:
        """Why some are refused, by the `id` of what waits. Who is served with the others is added to `drawn`."""
        row = await projects.find_project(change.connection, project)
        most = None if row is None else row.settings.max_queue_bytes
        room = None if most is None else most - await stream_queues.count_bytes(change.connection, project)
        refused: dict[int, AgentError] = {}
        for queue in dict.fromkeys(waiting.queue for waiting in batch):
            own = [waiting for waiting in batch if waiting.queue == queue]
            fresh, known = await self._tell_apart(change, own)
            taken = []
            for waiting in fresh:
                if room is not None and waiting.record.size_bytes > room:
                    refused[id(waiting)] = _full(queue)
                    continue
                room = None if room is None else room - waiting.record.size_bytes
                taken.append(waiting)
            refused |= self._follow(own, fresh, known, refused)
            if taken:
                await self._write_queue(change, queue, taken, drawn)
        return refused

    async def _write_queue(
        self, change: Change, queue: QueueKey, taken: Sequence[_Waiting], drawn: list[_Drawn]
    ) -> None:
        number = await stream_queues.make_queue(change.connection, queue, change.now)
        digests = {waiting.sent.key: self._body_digest(waiting) for waiting in taken if waiting.sent.key}
        if digests:
            await idempotency.add_keys(change.connection, _owner(queue), digests, change.now)
        records: Sequence[NewRecord] = [waiting.record for waiting in taken]
        records = await self._hand_out(change, number, records, drawn)
        if records:
            await stream_queues.add_records(change.connection, number, records, change.now)
            change.wake(queue_topic(number))

    async def _hand_out(
        self, change: Change, queue: int, records: Sequence[NewRecord], drawn: list[_Drawn]
    ) -> Sequence[NewRecord]:
        """Write some down as taken by a job that waits for them, unless older ones are free: what is left."""
        if await stream_queues.has_free(change.connection, queue):
            return records
        waiter = self._waiters.draw(queue)
        if waiter is None:
            return records
        chosen = waiter.choose(records)
        drawn.append((waiter, chosen))
        await stream_queues.add_records(change.connection, queue, chosen, change.now, waiter.holding)
        return records[len(chosen) :]

    async def _tell_apart(
        self, change: Change, own: Sequence[_Waiting]
    ) -> tuple[list[_Waiting], Mapping[str, str]]:
        """Of one queue: those that were not sent before, each key once; and what was sent under the keys that are known."""
        keys = {waiting.sent.key for waiting in own if waiting.sent.key}
        if not keys:
            return list(own), {}
        owner = _owner(own[0].queue)
        await locks.lock_name(change.connection, owner)  # two servers may be sent the same key
        seen = set(known := await idempotency.list_digests(change.connection, owner, keys))
        fresh = []
        for waiting in own:
            if waiting.sent.key not in seen:
                fresh.append(waiting)
                seen |= {waiting.sent.key} - {""}
        return fresh, known

    def _follow(
        self,
        own: Sequence[_Waiting],
        fresh: Sequence[_Waiting],
        known: Mapping[str, str],
        refused: Mapping[int, AgentError],
    ) -> dict[int, AgentError]:
        """Why those are refused that were sent before, or come with another of the same key in this batch."""
        firsts = {waiting.sent.key: waiting for waiting in fresh if waiting.sent.key}
        also: dict[int, AgentError] = {}
        for waiting in own:
            first = firsts.get(waiting.sent.key)
            if not waiting.sent.key or first is waiting:
                continue
            before = known[waiting.sent.key] if first is None else self._body_digest(first)
            if before != self._body_digest(waiting):
                also[id(waiting)] = UsageError(
                    "the Idempotency-Key was used for another record", hint="a new record has a new key"
                )
            elif first is not None and id(first) in refused:
                also[id(waiting)] = refused[id(first)]
        return also

    def _body_digest(self, waiting: _Waiting) -> str:
        return self._digest("body", waiting.sent.media, waiting.sent.body).hex()

    async def _forget_keys(self, change: Change) -> None:
        if change.now - self._forgot_at > _FORGET_SECONDS:
            self._forgot_at = change.now
            await idempotency.forget_keys(change.connection, change.now - _KEY_SECONDS)


def _owner(queue: QueueKey) -> str:
    return f"queue/{queue.project}/{queue.flow}{queue.path}"


def _full(queue: QueueKey) -> TooManyError:
    return TooManyError(
        "the queues of this project are full: what is in them has to be worked off first",
        hint=f"send it again later; look at flow '{queue.flow}', or raise the project's max_queue_bytes",
        retry_seconds=_RETRY_SECONDS,
    )


def _as_refusal(error: BaseException) -> Exception:
    if isinstance(error, Exception):
        return error
    return OverloadedError("the server is being stopped", hint="send it again in a moment")
