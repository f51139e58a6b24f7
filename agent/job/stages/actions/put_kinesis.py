"""The stage `put_kinesis`: records are put into a stream, in requests of up to 500, in order within a partition key.

PutRecords goes on behind a record that it refuses, so two records of one key never stand in one request: the second
follows when the first is kept. Keys that are drawn have no order, and fill whole requests.
"""

import base64
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import uuid4

from agent.job.stages.actions.connecting.waiting import Trouble
from agent.job.stages.actions.kinesis.api import THROTTLED, KinesisApi, KinesisError
from agent.job.stages.stage import Done, StageContext, StageError, Value

_REQUEST_RECORDS = 500
_REQUEST_BYTES = 5 << 20  # with their keys
_RECORD_BYTES = 1 << 20  # the same
_KEY_CHARACTERS = 256
_TRIES = 8  # of what is throttled, some 20 seconds; the flow's own rule of retries follows


class PutEntry(NamedTuple):
    """A record on its way."""

    place: int  # in its batch
    key: str
    data: bytes

    @property
    def size(self) -> int:
        """As Kinesis counts it."""
        return len(self.data) + len(self.key.encode())


@dataclass
class Puts:
    """What is left to put of a batch: of each key its records, in order."""

    waiting: dict[str, list[PutEntry]] = field(default_factory=lambda: defaultdict(list))
    failed: dict[int, StageError] = field(default_factory=dict)

    def requests(self) -> Iterator[list[PutEntry]]:
        """The first record of each key, in requests as large as they may be."""
        request: list[PutEntry] = []
        size = 0
        for entry in [entries[0] for entries in self.waiting.values()]:
            if request and (len(request) == _REQUEST_RECORDS or size + entry.size > _REQUEST_BYTES):
                yield request
                request, size = [], 0
            request.append(entry)
            size += entry.size
        if request:
            yield request

    def done(self, entry: PutEntry) -> None:
        """The first record of a key is kept."""
        self.waiting[entry.key].pop(0)
        if not self.waiting[entry.key]:
            del self.waiting[entry.key]

    def give_up(self, key: str, error: StageError) -> None:
        """The first record of a key can't be put now: those behind it wait with it."""
        self.failed.update({entry.place: error for entry in self.waiting.pop(key, [])})


def make(context: StageContext) -> "PutKinesis":
    """The stage."""
    return PutKinesis(context)


class PutKinesis:
    """See Stage. Hands on each record as it came, when Kinesis has it."""

    is_pure = False

    def __init__(self, context: StageContext) -> None:
        self._context = context
        self._api = KinesisApi(context)
        self._stream = str(context.config["stream"])
        self._key_field = str(context.config.get("partition_key") or "")
        self._trouble = Trouble(context.say)

    async def open(self) -> None:
        """See Stage."""

    async def work(self, batch: Sequence[Value]) -> Done:
        """See Stage."""
        puts = Puts()
        for place, value in enumerate(batch):
            try:
                entry = self._entry(place, value)
            except StageError as error:
                puts.failed[place] = error
            else:
                puts.waiting[entry.key].append(entry)
        tries = 0
        while puts.waiting:
            kept = 0
            for request in puts.requests():
                kept += await self._put(request, puts, is_last=tries >= _TRIES - 1)
            tries = 0 if kept else tries + 1
            if not kept and puts.waiting:
                await self._trouble.meet(f"Kinesis takes no record of the stream '{self._stream}' now")
        self._trouble.end()
        places = [place for place in range(len(batch)) if place not in puts.failed]
        return Done([batch[place] for place in places], places, puts.failed)

    async def close(self) -> None:
        """See Stage."""
        await self._api.close()

    async def _put(self, request: list[PutEntry], puts: Puts, *, is_last: bool) -> int:
        """Put some; how many were kept. What failed is left where it was, or given up when this was the last try."""
        records = [
            {"Data": base64.b64encode(one.data).decode("ascii"), "PartitionKey": one.key} for one in request
        ]
        try:
            answer = await self._api.call("PutRecords", {"StreamName": self._stream, "Records": records})
        except KinesisError as error:
            if is_last or not error.is_passing:
                for entry in request:
                    puts.give_up(entry.key, StageError(error.what))
            return 0
        kept = 0
        for entry, result in zip(request, answer["Records"], strict=True):
            kept += self._settle(entry, result, puts, is_last=is_last)
        return kept

    def _settle(self, entry: PutEntry, result: Mapping[str, str], puts: Puts, *, is_last: bool) -> bool:
        code = result.get("ErrorCode")
        if not code:
            puts.done(entry)
        elif is_last or code not in THROTTLED | {"InternalFailure"}:
            puts.give_up(entry.key, StageError(f"Kinesis: {code}: {result.get('ErrorMessage', '')}"))
        return not code

    def _entry(self, place: int, value: Value) -> PutEntry:
        try:
            data = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        except UnicodeEncodeError as error:
            raise StageError(f"the record can't be sent as UTF-8: {error.reason}", is_final=True) from None
        entry = PutEntry(place, self._key(value), data)
        if entry.size > _RECORD_BYTES:
            raise StageError(
                f"the record has {entry.size:,} bytes: Kinesis takes {_RECORD_BYTES:,}", is_final=True
            )
        return entry

    def _key(self, value: Value) -> str:
        if not self._key_field:
            return uuid4().hex
        found = value.get(self._key_field) if isinstance(value, Mapping) else None
        if found is None or found == "":
            raise StageError(f"the record has no '{self._key_field}', its partition key", is_final=True)
        key = found if isinstance(found, str) else json.dumps(found)
        if len(key) > _KEY_CHARACTERS:
            raise StageError(
                f"the partition key in '{self._key_field}' has {len(key)} characters: Kinesis takes {_KEY_CHARACTERS}",
                is_final=True,
            )
        return key
