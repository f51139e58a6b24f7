"""The trigger `nats`: a connection at a time, made anew by us when it breaks, so that nothing waits in a client's own buffers.

Acknowledged is what settled, by its reply subject, over whichever connection there is; what is on its way is said to be
in progress, three times within the consumer's ack_wait.
"""

import asyncio
from contextlib import suppress
from typing import Any

from agent.errors import AgentError
from agent.job.stages.actions.connecting.addresses import read_address
from agent.job.stages.actions.connecting.bodies import MOST_BYTES, read_body, show_raw
from agent.job.stages.actions.connecting.flight import Flight
from agent.job.stages.actions.connecting.handing import Come, hand_on
from agent.job.stages.actions.connecting.holding import Holder, Pace
from agent.job.stages.actions.connecting.libraries import load_library
from agent.job.stages.actions.connecting.marks import holding_mark
from agent.job.stages.actions.connecting.waiting import Trouble, honour_cancel
from agent.job.stages.actions.nats.consumer import Consumer, prepare_consumer
from agent.job.stages.stage import Intake, StageContext, StageError, StreamPosition

_FETCH_RECORDS = 500
_FETCH_SECONDS = 5.0
_ANSWER_SECONDS = 5.0

Key = tuple[
    int, str
]  # a record's number in its stream, and its time: a stream that is made anew has the same numbers


def make(context: StageContext) -> "NatsTrigger":
    """The trigger."""
    return NatsTrigger(context)


class NatsTrigger:
    """See TriggerStage."""

    def __init__(self, context: StageContext, pace: Pace | None = None) -> None:
        self._context = context
        self._nats = load_library("nats", context.name)
        self._errors = load_library("nats.errors", context.name)
        self._js_errors = load_library("nats.js.errors", context.name)
        self._urls = [one.strip() for one in read_address(context, "url", {"nats", "tls"}).split(",")]
        self._trouble = Trouble(context.say)
        self._holder = Holder(context.bookmarks, pace or Pace())
        self._form = str(context.config.get("format", "json"))
        self._most_bytes = int(str(context.config.get("most_bytes", MOST_BYTES)))
        self._flight: Flight[Key, str] = Flight()
        self._client: Any = None
        self._consumer: Consumer | None = None
        self._tending: asyncio.Task[None] | None = None
        self._told_removed = 0

    async def run(self, intake: Intake) -> None:
        """See TriggerStage."""
        if self._tending is None:
            self._tending = asyncio.create_task(self._tend())
        while True:
            try:
                subscription = await self._connect()
                while True:
                    await self._fetch(subscription, intake)
            except self._errors.AuthorizationError as error:
                raise AgentError(
                    f"NATS: {error}", hint="say who the flow is in the `url`: nats://USER:PASSWORD@HOST"
                ) from error
            except self._js_errors.NotFoundError as error:
                raise AgentError(
                    f"NATS: {error.description}", where=f"the stream '{self._context.config['stream']}'"
                ) from error
            except (self._errors.Error, OSError, TimeoutError) as error:
                await self._disconnect()
                await self._trouble.meet(f"NATS: {str(error) or type(error).__name__}")

    async def settle(self, position: StreamPosition) -> None:
        """See TriggerStage. The server is told at once where it is there, else when it is back."""
        self._flight.settle(int(str(position.at)))
        await self._tell()

    async def close(self) -> None:
        """See TriggerStage."""
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.gather(self._tending, return_exceptions=True)
        await self._tell()
        await self._disconnect()
        await self._holder.close()

    async def _connect(self) -> Any:
        """A subscription to the consumer."""
        if self._client is not None:
            await self._disconnect()
        client = await self._nats.connect(
            self._urls,
            name=f"flow {self._context.name}",
            allow_reconnect=False,
            max_reconnect_attempts=1,  # also of a first connection, in which all errors are swallowed
            reconnect_time_wait=0.1,
            connect_timeout=10,
            ping_interval=10,
            max_outstanding_pings=2,
            error_cb=_ignore,
        )
        self._client = client
        jetstream = client.jetstream(timeout=_ANSWER_SECONDS)
        async with holding_mark(self._holder, self._context.say, f"nats/{self._context.name}") as mark:
            self._consumer = await prepare_consumer(self._context, jetstream, mark)
        await self._look_for_removed()
        subscription = await jetstream.pull_subscribe_bind(
            consumer=self._consumer.name, stream=self._consumer.stream
        )
        self._trouble.end()
        await self._tell()
        return subscription

    async def _fetch(self, subscription: Any, intake: Intake) -> None:
        consumer = self._consumer
        assert consumer is not None
        batch = max(2, min(_FETCH_RECORDS, consumer.most_in_flight))
        try:
            messages = await subscription.fetch(batch, timeout=_FETCH_SECONDS)
            honour_cancel()
        except (TimeoutError, self._errors.TimeoutError):
            if self._client is None or self._client.is_closed:
                raise self._errors.ConnectionClosedError from None
            honour_cancel()
            return
        by_key = {_key(message): message for message in messages}
        new = self._flight.add((key, message.reply) for key, message in by_key.items())
        try:
            await hand_on(intake, [self._come(by_key[key].data, number) for key, number in new])
        except BaseException:
            self._flight.drop(key for key, _ in new)
            raise
        await self._tell()

    def _come(self, data: bytes, number: int) -> Come:
        position = StreamPosition("", number)
        try:
            return Come(read_body(data, self._form, self._most_bytes), position)
        except StageError as error:
            return Come(show_raw(data), position, error)

    async def _tell(self) -> None:
        """What settled; what was not received is told again over the next connection."""
        untold = self._flight.untold()
        if untold and await self._publish([reply for _, reply in untold], b"+ACK"):
            self._flight.told([key for key, _ in untold])

    async def _tend(self) -> None:
        """Say of what is on its way that it is, also while the flow has no room."""
        while True:
            wait = self._consumer.ack_wait if self._consumer is not None else 3.0
            await asyncio.sleep(wait / 3)
            await self._publish([reply for _, reply in self._flight.on_way()], b"+WPI")
            await self._tell()

    async def _publish(self, subjects: list[str], payload: bytes) -> bool:
        """Whether the server has received all of it."""
        client = self._client
        if client is None or client.is_closed or not subjects:
            return False
        try:
            for subject in subjects:
                await client.publish(subject, payload)
            await client.flush(_ANSWER_SECONDS)
        except (self._errors.Error, OSError, TimeoutError):
            return False
        return True

    async def _look_for_removed(self) -> None:
        """Records that the stream's limits removed before they were read."""
        consumer = self._consumer
        assert consumer is not None
        jetstream = self._client.jetstream(timeout=_ANSWER_SECONDS)
        info = await jetstream.consumer_info(consumer.stream, consumer.name)
        state = (await jetstream.stream_info(consumer.stream)).state
        removed = state.first_seq - 1 - info.delivered.stream_seq
        if info.delivered.stream_seq > 0 and removed > self._told_removed:
            self._told_removed = removed
            self._context.warn(
                f"up to {removed:,} records were removed from the stream '{consumer.stream}' by its limits before they were read: "
                "raise its max_age, max_msgs or max_bytes"
            )

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(self._errors.Error, OSError, TimeoutError):
                await client.close()


def _key(message: Any) -> Key:
    metadata = message.metadata
    return metadata.sequence.stream, str(metadata.timestamp)


async def _ignore(_error: Exception) -> None:
    """Errors of the line come to who waits for it."""
