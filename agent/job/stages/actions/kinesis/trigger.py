"""The triggers `kinesis` and `kinesis_consumer`: all shards of a stream, shared between the copies of a flow.

Bookmarks: `kinesis/STAGE` says which stream it is and since when it is read; `kinesis/STAGE/SHARD` how far a shard is settled;
`kinesis-copies/STAGE/N` are held by the copies, so that each knows how many they are.
"""

import asyncio
from email.utils import parsedate_to_datetime
from typing import Any, TypeGuard

from agent.errors import AgentError
from agent.job.stages.actions.connecting.bodies import MOST_BYTES
from agent.job.stages.actions.connecting.holding import HeldBookmark, Holder, Pace
from agent.job.stages.actions.connecting.libraries import load_library
from agent.job.stages.actions.connecting.marks import holding_mark
from agent.job.stages.actions.connecting.waiting import Trouble
from agent.job.stages.actions.kinesis.api import KinesisApi, KinesisError
from agent.job.stages.actions.kinesis.fan_out import FanOut
from agent.job.stages.actions.kinesis.lanes import Reading, ShardLane
from agent.job.stages.actions.kinesis.reading import Polling, ShardReader, Start
from agent.job.stages.actions.kinesis.shards import Shard, fair_share, find_readable, read_listing
from agent.job.stages.stage import Intake, StageContext, StreamPosition

_FAR_BEHIND = 0.5  # of the time for which the stream keeps records


def make(context: StageContext) -> "KinesisTrigger":
    """The trigger that asks shards for their records."""
    return KinesisTrigger(context)


def make_consumer(context: StageContext) -> "KinesisTrigger":
    """The trigger that is sent them."""
    return KinesisTrigger(context, consumer=str(context.config.get("consumer") or "jumpwire"))


class KinesisTrigger:
    """See TriggerStage."""

    def __init__(self, context: StageContext, consumer: str = "", pace: Pace | None = None) -> None:
        self._context = context
        self._stream = str(context.config["stream"])
        self._consumer = consumer
        self._pace = pace or Pace()
        self._api = KinesisApi(context)
        self._make_buffer = load_library("botocore.eventstream", context.name).EventStreamBuffer
        self._trouble = Trouble(context.say)
        self._holder = Holder(context.bookmarks, self._pace)
        self._lanes: dict[str, ShardLane] = {}
        self._ended: set[str] = (
            set()
        )  # shards of which it is known that they are read to their end, and settled
        self._shards: dict[str, Shard] = {}
        self._copy: HeldBookmark | None = None
        self._incarnation = ""
        self._since: float | None = None
        self._stream_arn = ""

    async def run(self, intake: Intake) -> None:
        """See TriggerStage. Never ends by itself: a stream gets new shards."""
        try:
            await self._begin()
            how = self._how()
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._look()
                    await self._give_back()
                    await self._take()
                    for lane in self._lanes.values():
                        if lane.task is None and not lane.has_ended:
                            lane.task = group.create_task(lane.read(intake, how))
                    await asyncio.sleep(self._pace.look)
        except* AgentError as errors:
            raise _first(errors) from None
        finally:
            for lane in self._lanes.values():
                lane.task = None  # what is read on is read on from where it was

    async def settle(self, position: StreamPosition) -> None:
        """See TriggerStage. The bookmark follows within a second."""
        lane = self._lanes.get(position.lane)
        if lane is not None:
            lane.settle(str(position.at))

    async def close(self) -> None:
        """See TriggerStage."""
        await self._holder.close()
        await self._api.close()

    async def _begin(self) -> None:
        """Which stream it is, and since when it is read."""
        try:
            found = await self._api.insist(
                "DescribeStreamSummary", {"StreamName": self._stream}, self._trouble
            )
        except KinesisError as error:
            raise AgentError(error.what, where=f"the stream '{self._stream}'", hint=_advise(error)) from error
        summary = found["StreamDescriptionSummary"]
        self._stream_arn = str(summary["StreamARN"])
        # A stream that was deleted and made again has the same shards' names, with other numbers.
        self._incarnation = f"{self._stream_arn}@{summary.get('StreamCreationTimestamp')}"
        await self._begin_bookmark()
        if self._copy is None:
            self._copy = await self._holder.take_place(f"kinesis-copies/{self._context.name}", self._leave)

    async def _begin_bookmark(self) -> None:
        """Since when the stream is read: set at the first start."""
        async with holding_mark(self._holder, self._context.say, f"kinesis/{self._context.name}") as mark:
            value = mark.value if _is_of(mark.value, self._incarnation) else None
            if value is None:
                if mark.value is not None:
                    self._context.warn(
                        "the stream is not the one that was read until now: it is read as at a first start"
                    )
                value = {"of": self._incarnation, "since": await self._first_since()}
                await self._holder.put(mark, value)
            self._since = value["since"]

    async def _first_since(self) -> float | None:
        """Since when a stream is read for the first time, by the service's own clock; None: from its oldest record."""
        if self._context.config.get("cold_start") != "latest":
            return None
        _, date = await self._api.call_timed("ListShards", {"StreamName": self._stream})
        return parsedate_to_datetime(date).timestamp()

    def _leave(self) -> None:
        self._copy = None

    def _how(self) -> Reading:
        config = self._context.config
        polling = Polling(self._api, self._stream, self._trouble)
        reader: ShardReader = polling
        if self._consumer:
            say, buffer = self._context.say, self._make_buffer
            reader = FanOut(self._api, self._stream_arn, self._consumer, polling, say, buffer)
        most = int(str(config.get("most_bytes", MOST_BYTES)))
        return Reading(reader, self._is_closed, str(config.get("format", "json")), most)

    async def _look(self) -> None:
        """Which shards there are."""
        pages: list[dict[str, Any]] = []
        body: dict[str, object] = {"StreamName": self._stream}
        while True:
            pages.append(await self._api.insist("ListShards", body, self._trouble))
            if not (token := pages[-1].get("NextToken")):
                break
            body = {"NextToken": token}
        self._shards = read_listing(pages)

    async def _is_closed(self, shard: str, *, is_sure: bool) -> bool:
        if is_sure:
            await self._look()
        found = self._shards.get(shard)
        return found is None or found.is_closed  # what is not listed any more is not even kept

    async def _give_back(self) -> None:
        """Shards that have ended, and those that are another's share."""
        if self._copy is None:
            self._copy = await self._holder.take_place(f"kinesis-copies/{self._context.name}", self._leave)
        surplus = len(self._reading()) - await self._share()
        for lane in sorted(self._reading(), key=lambda one: one.shard, reverse=True)[: max(surplus, 0)]:
            lane.is_stopping = True
        for lane in list(self._lanes.values()):
            is_over = lane.has_ended or (lane.is_stopping and (lane.task is None or lane.task.done()))
            if is_over and lane.is_settled:
                lane.note()
                del self._lanes[lane.shard]
                await self._holder.free(lane.held)
                if lane.has_ended:
                    self._ended.add(lane.shard)

    async def _take(self) -> None:
        """Shards that nobody reads, up to our share, parents first; what has ended is only learned."""
        names = {
            name
            for name, is_held in await self._context.bookmarks.names(f"kinesis/{self._context.name}/")
            if is_held
        }
        known = -1
        while known != len(self._ended):  # a shard that has ended makes its children readable
            known = len(self._ended)
            for shard in find_readable(self._shards, self._ended):
                name = f"kinesis/{self._context.name}/{shard}"
                if shard in self._lanes or name in names:
                    continue
                if not await self._take_shard(shard, name, len(self._reading()) < await self._share()):
                    names.add(name)  # not now

    async def _take_shard(self, shard: str, name: str, has_room: bool) -> bool:  # noqa: FBT001
        held = await self._holder.take(name, lambda: self._lose(shard))
        if held is None:
            return False
        value = held.value if _is_of(held.value, self._incarnation) else {}
        if value.get("ended"):
            self._ended.add(shard)
        if value.get("ended") or not has_room:
            await self._holder.free(held)
            return False
        start = Start(str(value.get("after") or ""), self._since)
        self._lanes[shard] = ShardLane(shard, held, self._incarnation, start)
        return True

    async def _share(self) -> int:
        copies = [
            is_held
            for _, is_held in await self._context.bookmarks.names(f"kinesis-copies/{self._context.name}/")
        ]
        return fair_share(len(find_readable(self._shards, self._ended)), copies.count(True))

    def _reading(self) -> list[ShardLane]:
        return [lane for lane in self._lanes.values() if not lane.is_stopping and not lane.has_ended]

    def _lose(self, shard: str) -> None:
        """Another copy reads it by now, or may."""
        lane = self._lanes.pop(shard, None)
        if lane is not None and lane.task is not None:
            lane.task.cancel()
            self._context.say(f"the shard {shard} is another copy's by now")


def _is_of(value: object, incarnation: str) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict) and value.get("of") == incarnation


def _advise(error: KinesisError) -> str:
    if error.code == "ResourceNotFoundException":
        return "make it, or say its right name, region and endpoint"
    return "docs/streams-sources.md lists the rights that the trigger needs"


def _first(errors: BaseExceptionGroup[AgentError]) -> AgentError:
    one = errors.exceptions[0]
    return _first(one) if isinstance(one, BaseExceptionGroup) else one
