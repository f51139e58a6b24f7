"""Bookmarks of flows of stages, for their jobs: taken by one at a time, kept, set, freed.

    free --a job takes it--> held --freed; its job ends or is lost; not kept for its seconds (`bookmark_watch`)--> free

Each holder has a fence that is larger than all before. What comes under an older one changes nothing, and is answered so.
"""

import json
from typing import Any

import msgspec

from agent.errors import UsageError
from agent.server.events.changes import Changes
from agent.server.process.problems import ConflictError
from agent.server.store import bookmarks
from agent.server.store.bookmarks import MOST_OF_FLOW, BookmarkRow
from agent.server.streams.bookmark_watch import BookmarkWatch
from agent.server.streams.stage_jobs import StageJob


class BookmarkView(msgspec.Struct):
    """A bookmark that the job holds now; `value` null: it was never put."""

    name: str
    value: Any
    fence: int


class NamedBookmark(msgspec.Struct):
    """A bookmark that there is, and whether a job holds it."""

    name: str
    is_held: bool


class BookmarkNames(msgspec.Struct):
    """The flow's bookmarks."""

    bookmarks: list[NamedBookmark]


class FlowBookmarks:
    """The bookmarks of this installation."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._watch = BookmarkWatch()

    async def take(self, job: StageJob, name: str, seconds: float) -> BookmarkView:
        """Let the job hold the bookmark. Raises ConflictError while another job does, UsageError for one too many."""
        async with self._changes.begin() as change:
            connection = change.connection
            row = await bookmarks.make_bookmark(connection, job.project, job.flow, name, change.now)
            if row.fence == 0:
                await self._check_room(connection, job)
            is_own = (row.holder, row.lease) == (job.id, job.lease)
            if row.is_held and not is_own and not self._is_over(job, row):
                raise ConflictError("another job holds this bookmark", hint="ask again later")
            fence, value = await bookmarks.hand_over(
                connection,
                job.project,
                job.flow,
                name,
                holder=job.id,
                lease=job.lease,
                seconds=seconds,
                now=change.now,
            )
        return BookmarkView(name, None if value is None else json.loads(value), fence)

    async def keep(self, job: StageJob, name: str, fence: int, seconds: float) -> None:
        """Hold it on. Raises ConflictError when it is another's by now."""
        await self._change(job, name, fence, seconds=seconds)

    async def put(self, job: StageJob, name: str, fence: int, value: object) -> None:
        """Set its value. Raises ConflictError when it is another's by now."""
        await self._change(job, name, fence, value=json.dumps(value))

    async def free(self, job: StageJob, name: str, fence: int) -> None:
        """Let others have it. Raises ConflictError when it is another's by now."""
        await self._change(job, name, fence, holder=None)

    async def names(self, job: StageJob, prefix: str) -> BookmarkNames:
        """The flow's bookmarks whose names begin so."""
        async with self._changes.database.read() as connection:
            rows = await bookmarks.list_bookmarks(connection, job.project, job.flow, prefix)
        return BookmarkNames(
            [NamedBookmark(row.name, row.is_held and not self._is_over(job, row)) for row in rows]
        )

    async def _change(self, job: StageJob, name: str, fence: int, **values: object) -> None:
        async with self._changes.begin() as change:
            own = (job.project, job.flow, name)
            values["used_at"] = change.now
            if not await bookmarks.change_held(change.connection, *own, fence, values):
                raise ConflictError(
                    "the bookmark is another job's by now", hint="what it stands for ends here: let go of it"
                )

    def _is_over(self, job: StageJob, row: BookmarkRow) -> bool:
        key = (job.project, job.flow, row.name)
        return self._watch.look(key, row.beat, row.seconds, self._changes.clock.monotonic())

    @staticmethod
    async def _check_room(connection: Any, job: StageJob) -> None:
        if await bookmarks.count_bookmarks(connection, job.project, job.flow) > MOST_OF_FLOW:
            raise UsageError(f"a flow has at most {MOST_OF_FLOW} bookmarks", where=job.flow)
