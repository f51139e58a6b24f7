"""The trigger `redis`: first what this consumer had, then what is new, and now and then what dead consumers had.

A copy has a place among the copies (`redis-copies/STAGE/N`), and its consumer is named by that: a copy that is started again is the
consumer that it was. What is on its way is claimed anew by its own consumer, so that no other takes it for left behind.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from agent.errors import AgentError
from agent.job.stages.actions.connecting.addresses import read_address
from agent.job.stages.actions.connecting.bodies import MOST_BYTES, read_body, show_raw
from agent.job.stages.actions.connecting.flight import Flight
from agent.job.stages.actions.connecting.handing import Come, hand_on
from agent.job.stages.actions.connecting.holding import HeldBookmark, Holder, Pace
from agent.job.stages.actions.connecting.libraries import load_library
from agent.job.stages.actions.connecting.marks import draw_name, holding_mark
from agent.job.stages.actions.connecting.waiting import Trouble
from agent.job.stages.actions.redis.stream import RedisStream, StreamEntry
from agent.job.stages.stage import Intake, StageContext, StageError, StreamPosition, Value

IDLE_SECONDS = 60.0  # after which an entry's consumer counts as dead


def make(context: StageContext) -> "RedisTrigger":
    """The trigger."""
    return RedisTrigger(context)


class RedisTrigger:
    """See TriggerStage."""

    def __init__(
        self, context: StageContext, pace: Pace | None = None, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._context = context
        errors = load_library("redis.exceptions", context.name)
        self._any = errors.RedisError
        self._answer_error = errors.ResponseError
        self._refused = (errors.AuthenticationError, errors.NoPermissionError)
        self._passing = (
            errors.ConnectionError,
            errors.TimeoutError,
            errors.BusyLoadingError,
            OSError,
            TimeoutError,
        )
        url = read_address(context, "url", {"redis", "rediss", "valkey", "unix"})
        self._url = url.replace("valkey://", "redis://", 1) if url.startswith("valkey:") else url
        self._trouble = Trouble(context.say)
        self._holder = Holder(context.bookmarks, pace or Pace())
        self._idle = idle_seconds
        self._field = str(context.config.get("field") or "")
        self._form = str(context.config.get("format", "json"))
        self._most_bytes = int(str(context.config.get("most_bytes", MOST_BYTES)))
        self._flight: Flight[bytes, None] = Flight()
        self._place: HeldBookmark | None = None
        self._stream: RedisStream | None = None
        self._tending: asyncio.Task[None] | None = None
        self._told_missed = 0

    async def run(self, intake: Intake) -> None:
        """See TriggerStage."""
        while True:
            try:
                await self._bring(intake, await self._connect())
            except self._refused as error:
                raise AgentError(
                    f"Redis: {error}",
                    hint="docs/streams-sources.md lists the commands that the trigger needs",
                ) from error
            except self._answer_error as error:
                if not str(error).startswith("NOGROUP"):
                    raise AgentError(
                        f"Redis: {error}", where=f"the stream '{self._context.config['stream']}'"
                    ) from error
            except self._any as error:
                if not isinstance(error, self._passing):
                    raise AgentError(f"Redis: {error}") from error
                await self._trouble.meet(f"Redis: {str(error) or type(error).__name__}")
            except (OSError, TimeoutError) as error:
                await self._trouble.meet(f"Redis: {str(error) or type(error).__name__}")

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
        if self._stream is not None:
            await self._stream.leave()
        await self._holder.close()

    async def _connect(self) -> RedisStream:
        """The stream has its group."""
        if self._place is None:
            self._place = await self._holder.take_place(f"redis-copies/{self._context.name}", self._leave)
        number = self._place.bookmark.name.rpartition("/")[2]
        config = self._context.config
        name = str(config["stream"])
        async with holding_mark(self._holder, self._context.say, f"redis/{self._context.name}") as mark:
            known: Mapping[str, object] = mark.value if isinstance(mark.value, Mapping) else {}
            group = str(config.get("group") or known.get("drawn") or draw_name(self._context.name))
            if self._stream is None:
                self._stream = RedisStream(self._context.name, self._url, name, group, f"copy-{number}")
            stream = self._stream
            if not await stream.has_group():
                await self._make_group(stream, is_known=known == {**known, "group": group, "stream": name})
            drawn = known.get("drawn") or ("" if config.get("group") else group)
            mark.value = {"group": group, "drawn": drawn, "stream": name}
        self._trouble.end()
        if self._tending is None:
            self._tending = asyncio.create_task(self._tend())
        await self._tell()
        return stream

    async def _make_group(self, stream: RedisStream, *, is_known: bool) -> None:
        """A group that was there and is gone is made anew only where the stream is gone, too: then all in it is new."""
        if is_known and await stream.exists():
            raise AgentError(
                f"the group '{stream.group}' of the stream '{stream.stream}' is gone, and with it what had been settled",
                hint=f"make it again where reading should go on: XGROUP CREATE {stream.stream} {stream.group} ID (0: everything again, $: "
                "only what comes), or name another `group`, which begins by `cold_start`",
            )
        if is_known:
            self._context.warn(
                f"the stream '{stream.stream}' is gone, with all that was in it: a new one is waited for"
            )
        is_latest = self._context.config.get("cold_start") == "latest" and not is_known
        await stream.make_group("$" if is_latest else "0")
        self._context.say(f"made the group '{stream.group}'")

    def _leave(self) -> None:
        """Another copy has this one's place: what it reads it reads under the same consumer's name, once each."""
        self._place = None

    async def _bring(self, intake: Intake, stream: RedisStream) -> None:
        after = b"0-0"
        while entries := await stream.read_own(after):
            after = entries[-1].id
            await self._hand_on(intake, stream, entries)
        await self._tell_missed(stream)
        looked = asyncio.get_running_loop().time()
        while self._place is not None:
            await self._hand_on(intake, stream, await stream.read_new())
            await self._tell()
            if asyncio.get_running_loop().time() - looked >= self._idle / 2:
                looked = asyncio.get_running_loop().time()
                await self._claim(intake, stream)
                await self._tell_missed(stream)
        await stream.leave()
        self._stream = None

    async def _claim(self, intake: Intake, stream: RedisStream) -> None:
        entries, removed = await stream.claim(self._idle)
        if removed:
            self._tell_removed([entry.decode() for entry in removed])
        await self._hand_on(intake, stream, entries)

    async def _hand_on(self, intake: Intake, stream: RedisStream, entries: Sequence[StreamEntry]) -> None:
        removed = [one.id for one in entries if one.fields is None]
        if removed:
            self._tell_removed([entry.decode() for entry in removed])
            await stream.acknowledge(removed)
        fields = {one.id: one.fields for one in entries if one.fields is not None}
        new = self._flight.add((entry, None) for entry in fields)
        try:
            await hand_on(intake, [self._come(fields[entry], number) for entry, number in new])
        except BaseException:
            self._flight.drop(key for key, _ in new)
            raise

    def _come(self, fields: Mapping[bytes, bytes], number: int) -> Come:
        position = StreamPosition("", number)
        try:
            return Come(self._read(fields), position)
        except StageError as error:
            shown = {key.decode(errors="replace"): show_raw(value) for key, value in fields.items()}
            return Come(shown, position, error)

    def _read(self, fields: Mapping[bytes, bytes]) -> Value:
        """The field that has the record; none named: all fields, as text."""
        if self._field:
            if self._field.encode() not in fields:
                raise StageError(f"the entry has no field '{self._field}'", is_final=True)
            return read_body(fields[self._field.encode()], self._form, self._most_bytes)
        size = sum(len(key) + len(value) for key, value in fields.items())
        if size > self._most_bytes:
            raise StageError(
                f"the entry has {size:,} bytes: more than {self._most_bytes:,} (most_bytes)", is_final=True
            )
        try:
            return {key.decode(): value.decode() for key, value in fields.items()}
        except UnicodeDecodeError:
            raise StageError("the entry is no UTF-8 text", is_final=True) from None

    async def _tell(self) -> None:
        """What settled; what was not received is told again."""
        ids = [entry for entry, _ in self._flight.untold()]
        if ids and self._stream is not None:
            with suppress(*self._passing, self._answer_error):
                await self._stream.acknowledge(ids)
                self._flight.told(ids)

    async def _tend(self) -> None:
        """What is on its way is not left behind, also while the flow has no room."""
        while True:
            await asyncio.sleep(self._idle / 3)
            ids = [entry for entry, _ in self._flight.on_way()]
            if ids and self._stream is not None:
                with suppress(*self._passing, self._answer_error):
                    await self._stream.refresh(ids)
            await self._tell()

    async def _tell_missed(self, stream: RedisStream) -> None:
        missed = (await stream.look_for_missed()).entries
        if missed > self._told_missed:
            more, self._told_missed = missed - self._told_missed, missed
            self._context.warn(
                f"{more:,} entries were removed from the stream '{stream.stream}' before they were read: the flow is slower than its MAXLEN"
            )

    def _tell_removed(self, ids: Sequence[str]) -> None:
        self._context.warn(
            f"{len(ids):,} entries were removed from the stream '{self._context.config['stream']}' after they were given and before they "
            f"were settled ({', '.join(ids[:3])}{', ...' if len(ids) > 3 else ''}): they are lost to this flow"
        )
