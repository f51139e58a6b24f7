"""Reading one shard by asking for it (GetRecords): each pass gives a page, the last one says that the shard has ended."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from agent.job.stages.actions.connecting.waiting import Trouble
from agent.job.stages.actions.kinesis.api import KinesisApi, KinesisError

_PAGE_RECORDS = 1000
_BETWEEN_SECONDS = 0.25  # a shard may be asked five times a second, by all of its readers
_IDLE_SECONDS = 1.0


class Start(NamedTuple):
    """Where a shard is read from: after a sequence number, else since a time (seconds), else from its oldest record."""

    after: str = ""
    since: float | None = None

    def as_position(self, key: str) -> dict[str, object]:
        """As GetShardIterator (`ShardIteratorType`) and SubscribeToShard (`Type`) have it."""
        if self.after:
            return {key: "AFTER_SEQUENCE_NUMBER", _NUMBER[key]: self.after}
        if self.since is not None:
            return {key: "AT_TIMESTAMP", "Timestamp": self.since}
        return {key: "TRIM_HORIZON"}


_NUMBER = {"ShardIteratorType": "StartingSequenceNumber", "Type": "SequenceNumber"}


class StreamRecord(NamedTuple):
    """A record of a shard."""

    number: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ShardPage:
    """Some records of a shard, in order."""

    records: Sequence[StreamRecord]
    behind_seconds: float  # how old the last of them is, by the service
    has_ended: bool = False  # none will follow: the shard is closed and read to its end


class TellClosed(Protocol):
    """Tells whether a shard is closed: `is_sure` asks the service anew."""

    async def __call__(self, shard: str, *, is_sure: bool) -> bool:
        """Whether nothing is written to it any more."""
        ...


class ShardReader(Protocol):
    """Reads a shard from a place on."""

    def __call__(self, shard: str, start: Start, closed: TellClosed) -> AsyncIterator[ShardPage]:
        """Its pages, until it has ended."""
        ...


class Polling:
    """Asks for each page."""

    def __init__(self, api: KinesisApi, stream: str, trouble: Trouble) -> None:
        self._api = api
        self._stream = stream
        self._trouble = trouble

    async def __call__(self, shard: str, start: Start, closed: TellClosed) -> AsyncIterator[ShardPage]:
        """See ShardReader. An iterator that is null is asked about, and none that isn't is believed: the list of shards
        says that a shard is closed, and an empty page at its tip, asked for after that, that it is at its end.
        """
        iterator: str | None = None
        while True:
            if iterator is None:
                iterator = await self._begin(shard, start)
            was_closed = await closed(shard, is_sure=False)
            page, iterator = await self._read(iterator)
            if page is None:
                continue  # the iterator was too old
            if page.records:
                start = Start(after=page.records[-1].number)
            is_at_tip = not page.records and page.behind_seconds == 0
            if iterator is None and not was_closed:
                was_closed = await closed(shard, is_sure=True)
                is_at_tip = is_at_tip or was_closed
            elif iterator is None:
                is_at_tip = True
            yield ShardPage(page.records, page.behind_seconds, is_at_tip and was_closed)
            if is_at_tip and was_closed:
                return
            await asyncio.sleep(_IDLE_SECONDS if is_at_tip else _BETWEEN_SECONDS)

    async def _begin(self, shard: str, start: Start) -> str:
        body = {"StreamName": self._stream, "ShardId": shard, **start.as_position("ShardIteratorType")}
        answer = await self._api.insist("GetShardIterator", body, self._trouble)
        return str(answer["ShardIterator"])

    async def _read(self, iterator: str) -> tuple[ShardPage | None, str | None]:
        body = {"ShardIterator": iterator, "Limit": _PAGE_RECORDS}
        try:
            answer = await self._api.insist("GetRecords", body, self._trouble)
        except KinesisError as error:
            if error.code == "ExpiredIteratorException":
                return None, None
            raise
        return ShardPage(read_records(answer), answer.get("MillisBehindLatest", 0) / 1000), answer.get(
            "NextShardIterator"
        )


def read_records(answer: Mapping[str, Any]) -> list[StreamRecord]:
    """The records of an answer or an event."""
    return [
        StreamRecord(str(one["SequenceNumber"]), base64.b64decode(one["Data"]))
        for one in answer.get("Records", ())
    ]
