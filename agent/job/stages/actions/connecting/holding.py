"""Bookmarks that are held for as long as a trigger lives, and whose values are set as its records settle.

free --take--> held --keep, put--> held --free--> free
held --lost--> lost                                      (kept too late, or by another: what it stands for must end)
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from agent.errors import AgentError
from agent.job.stages.stage import Bookmark, Bookmarks


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things of a trigger take, in seconds."""

    lease: float = 30.0  # a bookmark is held for so long after it was last kept
    keep: float = 10.0  # it is kept so often
    checkpoint: float = 1.0  # a value is set at most so often
    look: float = 5.0  # shards and copies are looked for so often


@dataclass(eq=False)
class HeldBookmark:
    """A bookmark of ours. `on_lost` is called once, when it is another's or may be."""

    bookmark: Bookmark
    kept_at: float  # by the loop's clock
    on_lost: Callable[[], None]
    value: object = None  # what it should say
    written: object = None  # what it says
    is_lost: bool = False
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)


class Holder:
    """Keeps bookmarks, and sets their values, until it is closed: also while its trigger is started again."""

    def __init__(self, bookmarks: Bookmarks, pace: Pace) -> None:
        self._bookmarks = bookmarks
        self._pace = pace
        self._held: dict[str, HeldBookmark] = {}
        self._task: asyncio.Task[None] | None = None

    async def take(self, name: str, on_lost: Callable[[], None]) -> HeldBookmark | None:
        """Hold a bookmark; None: another job does."""
        began = _now()
        bookmark = await self._bookmarks.take(name, self._pace.lease)
        if bookmark is None:
            return None
        held = HeldBookmark(bookmark, began, on_lost, bookmark.value, bookmark.value)
        self._held[name] = held
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_on())
        return held

    async def take_place(self, prefix: str, on_lost: Callable[[], None]) -> HeldBookmark:
        """The first free place among the copies of a flow: `PREFIX/0`, `PREFIX/1`, ..."""
        for number in count():
            held = await self.take(f"{prefix}/{number}", on_lost)
            if held is not None:
                return held
        raise AssertionError("there are places without end")

    async def put(self, held: HeldBookmark, value: object) -> bool:
        """Set its value now; False: it is lost. Raises AgentError where nobody answers."""
        held.value = value
        return await self._write(held)

    async def free(self, held: HeldBookmark) -> None:
        """Its value is set, and others may have it."""
        self._held.pop(held.bookmark.name, None)
        if not held.is_lost and await self._write(held):
            await self._bookmarks.free(held.bookmark)

    async def close(self) -> None:
        """All values are set, all bookmarks freed. Who doesn't answer any more will see them end by themselves."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for held in list(self._held.values()):
            try:
                await self.free(held)
            except AgentError:
                continue  # it ends by itself; what settled since the last checkpoint comes again

    async def _keep_on(self) -> None:
        while True:
            await asyncio.sleep(min(self._pace.checkpoint, self._pace.keep))
            for held in list(self._held.values()):
                try:
                    await self._tend(held)
                except AgentError:
                    if _now() - held.kept_at >= self._pace.lease:
                        self._lose(held)

    async def _tend(self, held: HeldBookmark) -> None:
        if held.value != held.written:
            await self._write(held)
        began = _now()
        if began - held.kept_at >= self._pace.keep and not held.is_lost:
            if await self._bookmarks.keep(held.bookmark, self._pace.lease):
                held.kept_at = began
            else:
                self._lose(held)

    async def _write(self, held: HeldBookmark) -> bool:
        async with held.busy:
            value = held.value
            if held.is_lost:
                return False
            if value != held.written:
                if not await self._bookmarks.put(held.bookmark, value):
                    self._lose(held)
                    return False
                held.written = value
            return True

    def _lose(self, held: HeldBookmark) -> None:
        self._held.pop(held.bookmark.name, None)
        if not held.is_lost:
            held.is_lost = True
            held.on_lost()


def _now() -> float:
    return asyncio.get_running_loop().time()
