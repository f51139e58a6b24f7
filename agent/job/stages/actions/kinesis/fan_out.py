"""Reading a shard as a consumer with a throughput of its own (SubscribeToShard): the service sends, for five minutes a time.

Where the endpoint can't do it, it is said, and the shard is asked for its records instead.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from agent.errors import AgentError
from agent.job.stages.actions.connecting.waiting import Trouble
from agent.job.stages.actions.kinesis.api import KinesisApi, KinesisError
from agent.job.stages.actions.kinesis.reading import Polling, ShardPage, Start, TellClosed, read_records

_TRIES = 3  # of what answers 500 before it counts as what can't be done here
_ACTIVE_TRIES = 60


class FanOut:
    """A registered consumer's subscriptions."""

    def __init__(
        self, api: KinesisApi, stream_arn: str, consumer: str, polling: Polling, say: Callable[[str], None],
        make_buffer: Callable[[], Any],
    ) -> None:  # fmt: skip
        self._api = api
        self._stream_arn = stream_arn
        self._consumer = consumer
        self._polling = polling
        self._say = say
        self._make_buffer = make_buffer
        self._consumer_arn = ""
        self._can_not = False
        self._registering = asyncio.Lock()

    async def __call__(self, shard: str, start: Start, closed: TellClosed) -> AsyncIterator[ShardPage]:
        """See ShardReader."""
        trouble = Trouble(self._say)
        while not self._can_not:
            try:
                async for page in self._subscribe(shard, start):
                    trouble.end()
                    if page.records:
                        start = Start(after=page.records[-1].number)
                    if page.has_ended and not await closed(shard, is_sure=True):
                        page = ShardPage(page.records, page.behind_seconds)
                    yield page
                    if page.has_ended:
                        return
            except KinesisError as error:
                await self._judge(error, trouble)
        async for page in self._polling(shard, start, closed):
            yield page

    async def _judge(self, error: KinesisError, trouble: Trouble) -> None:
        """Wait for what passes; what this endpoint can't do is not tried again."""
        cannot = error.status in {404, 500, 501} or error.code in {
            "UnknownOperationException",
            "InvalidAction",
        }
        if cannot and trouble.tries + 1 >= _TRIES:
            if not self._can_not:
                self._say(
                    f"this endpoint has no enhanced fan-out ({error.code}): the shards are asked for their records instead"
                )
            self._can_not = True
        elif cannot or error.is_passing or error.code == "ResourceInUseException":
            await trouble.meet(error.what)
        else:
            raise error

    async def _subscribe(self, shard: str, start: Start) -> AsyncIterator[ShardPage]:
        body = {
            "ConsumerARN": await self._register(),
            "ShardId": shard,
            "StartingPosition": start.as_position("Type"),
        }
        async with self._api.stream("SubscribeToShard", body) as pieces:
            buffer = self._make_buffer()
            async for piece in pieces:
                buffer.add_data(piece)
                for event in buffer:
                    page = _read_event(event)
                    if page is not None:
                        yield page

    async def _register(self) -> str:
        """The consumer's ARN, once it is active."""
        async with self._registering:
            if self._consumer_arn:
                return self._consumer_arn
            name = {"StreamARN": self._stream_arn, "ConsumerName": self._consumer}
            try:
                await self._api.call("RegisterStreamConsumer", name)
            except KinesisError as error:
                if error.code != "ResourceInUseException":  # it is there already
                    raise
            for _ in range(_ACTIVE_TRIES):
                found = (await self._api.call("DescribeStreamConsumer", name))["ConsumerDescription"]
                if found["ConsumerStatus"] == "ACTIVE":
                    self._consumer_arn = str(found["ConsumerARN"])
                    return self._consumer_arn
                await asyncio.sleep(1)
        raise AgentError(f"the consumer '{self._consumer}' does not become active", where=self._stream_arn)


def _read_event(event: Any) -> ShardPage | None:
    """A page of an event; None: it has none. Raises KinesisError for an exception that was sent."""
    kind = event.headers.get(":event-type") or event.headers.get(":exception-type") or "error"
    if event.headers.get(":message-type") != "event":
        message = event.headers.get(":error-message") or event.payload[:200].decode("utf-8", "replace")
        passing = kind in {"InternalFailureException", "error"}
        raise KinesisError(
            str(event.headers.get(":error-code") or kind), str(message), status=503 if passing else 400
        )
    if kind != "SubscribeToShardEvent":
        return None
    body = json.loads(event.payload)
    # Without a number to go on from, the shard has been read to its end.
    return ShardPage(
        read_records(body),
        body.get("MillisBehindLatest", 0) / 1000,
        not body.get("ContinuationSequenceNumber"),
    )
