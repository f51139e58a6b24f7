"""One stream and its group, over a client that tries nothing again by itself: who sends twice decides it here.

Entries are `(id, fields)`; an entry that was removed while it was pending has no fields.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from agent.job.stages.actions.connecting.libraries import load_library
from agent.job.stages.actions.connecting.waiting import honour_cancel

_BLOCK_SECONDS = 2.0
_ANSWER_SECONDS = 15.0  # longer than any block: a client that gives up while the server still blocks loses what it would get
_PAGE = 500


class StreamEntry(NamedTuple):
    """One entry; `fields` is None where it was removed while it was pending."""

    id: bytes
    fields: dict[bytes, bytes] | None


@dataclass(frozen=True, slots=True)
class Missed:
    """What the group will never read: entries that were removed before (an estimate, where some were deleted in the middle)."""

    entries: int


class RedisStream:
    """A stream, a group in it, and one consumer of that."""

    def __init__(self, stage: str, url: str, stream: str, group: str, consumer: str) -> None:
        redis = load_library("redis.asyncio", stage)
        retry = load_library("redis.asyncio.retry", stage).Retry(
            load_library("redis.backoff", stage).NoBackoff(), 0
        )
        self._client = redis.Redis.from_url(
            url,
            retry=retry,
            socket_timeout=_ANSWER_SECONDS,
            socket_connect_timeout=10,
            socket_keepalive=True,
            protocol=2,  # answers have one form
            client_name=consumer,
        )
        self.stream = stream
        self.group = group
        self.consumer = consumer

    async def exists(self) -> bool:
        """Whether there is a stream."""
        return bool(await self._ask(self._client.exists(self.stream)))

    async def has_group(self) -> bool:
        """Whether the stream has the group."""
        return await self.exists() and await self._find_group() is not None

    async def make_group(self, begin: str) -> None:
        """Make the group, and the stream where there is none; it begins after the entry `begin`."""
        await self._ask(self._client.xgroup_create(self.stream, self.group, id=begin, mkstream=True))

    async def read_own(self, after: bytes) -> list[StreamEntry]:
        """What this consumer was given and has not acknowledged, after an id."""
        return _entries(
            await self._ask(
                self._client.xreadgroup(self.group, self.consumer, {self.stream: after}, count=_PAGE)
            )
        )

    async def read_new(self) -> list[StreamEntry]:
        """What nobody was given yet; waits two seconds for the first."""
        block = int(_BLOCK_SECONDS * 1000)
        answer = await self._ask(
            self._client.xreadgroup(self.group, self.consumer, {self.stream: ">"}, count=_PAGE, block=block)
        )
        return _entries(answer)

    async def claim(self, idle_seconds: float) -> tuple[list[StreamEntry], list[bytes]]:
        """What others were given, and have left alone for so long; and ids of such that were removed by now."""
        begin: bytes = b"0-0"
        claimed: list[StreamEntry] = []
        removed: list[bytes] = []
        while True:
            idle = int(idle_seconds * 1000)
            answer = await self._ask(
                self._client.xautoclaim(
                    self.stream, self.group, self.consumer, idle, start_id=begin, count=100
                )
            )
            begin, entries, *gone = answer
            claimed += [StreamEntry(one[0], one[1] or None) for one in entries if one and one[0] is not None]
            removed += gone[0] if gone else []
            if begin == b"0-0" or len(claimed) >= _PAGE:
                return claimed, removed

    async def refresh(self, ids: Sequence[bytes]) -> None:
        """Say that these are still at work: nobody claims them. Their number of deliveries stays."""
        for page in _pages(ids):
            await self._ask(self._client.xclaim(self.stream, self.group, self.consumer, 0, page, justid=True))

    async def acknowledge(self, ids: Sequence[bytes]) -> None:
        """They have ended; again is no harm."""
        for page in _pages(ids):
            await self._ask(self._client.xack(self.stream, self.group, *page))

    async def look_for_missed(self) -> Missed:
        """Redis counts as `lag` also what was removed unread, for ever: at the stream's end that is all that it is."""
        group = await self._find_group()
        info = await self._ask(self._client.xinfo_stream(self.stream))
        read, added = (group or {}).get("entries-read"), info.get("entries-added")
        if (
            group is None or read is None or added is None
        ):  # before Redis 7, and after reading from the middle
            return Missed(0)
        if group["last-delivered-id"] == info["last-generated-id"]:
            return Missed(added - read)
        return Missed(max(added - info["length"] - read, 0))

    async def leave(self) -> None:
        """Its connections end."""
        await self._client.aclose()

    async def _ask(self, answer: Awaitable[Any]) -> Any:
        got = await answer
        honour_cancel()
        return got

    async def _find_group(self) -> dict[str, Any] | None:
        groups = await self._ask(self._client.xinfo_groups(self.stream))
        return next((one for one in groups if one["name"] == self.group.encode()), None)


def _entries(answer: Any) -> list[StreamEntry]:
    return [StreamEntry(entry, fields or None) for _, entries in answer or () for entry, fields in entries]


def _pages(ids: Sequence[bytes]) -> list[Sequence[bytes]]:
    return [ids[begin : begin + _PAGE] for begin in range(0, len(ids), _PAGE)]
