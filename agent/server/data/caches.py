"""Caches of projects, as people look at them and take them away. Jobs have them by `agent.server.data.job_caches`."""

from dataclasses import dataclass

import msgspec

from agent.errors import NotFoundError
from agent.server.data.shelves import CACHES, stored_cache
from agent.server.data.uploads import Uploads
from agent.server.events.changes import Changes
from agent.server.process.moments import Moment, time_text
from agent.server.process.paging import Page, RowId, cut, next_cursor
from agent.server.store import caches
from agent.server.store.caches import CacheRow


class CacheView(msgspec.Struct):
    """A cache. `ref` is the git ref whose runs wrote it."""

    id: int
    key: str
    version: str
    ref: str
    size_bytes: int
    digest: str
    created: Moment | None
    last_used: Moment | None


@dataclass(frozen=True, slots=True)
class CachesOfProject:
    """A part of the list of a project's caches, and how much room all of them take, in bytes."""

    views: list[CacheView]
    size_bytes: int
    next: str | None


class Caches:
    """The caches of projects."""

    def __init__(self, changes: Changes, uploads: Uploads) -> None:
        self._changes = changes
        self._uploads = uploads

    async def list_of(self, project: int, page: Page, prefix: str) -> CachesOfProject:
        """The project's finished caches whose keys begin with `prefix`, the last used first."""
        after = page.after(tuple[float, RowId])
        async with self._changes.database.read() as connection:
            found = await caches.list_caches(
                connection, project, limit=page.limit + 1, after=after, prefix=prefix
            )
            used = await caches.size_of_all(connection, project)
        shown = cut(found, page.limit)
        behind = next_cursor(found, page.limit, (shown[-1].used_at, shown[-1].id) if shown else None)
        return CachesOfProject([view_cache(row) for row in shown], used, behind)

    async def remove(self, cache: int) -> None:
        """Forget a cache: its key is free again. Raises NotFoundError."""
        async with self._changes.begin() as change:
            row = await caches.find_cache(change.connection, cache)
            if row is None:
                raise NotFoundError(f"there is no cache {cache}")
            await caches.remove_caches(change.connection, [cache])
        await self._uploads.remove_all(CACHES, stored_cache(row))


def view_cache(row: CacheRow) -> CacheView:
    """A cache's row."""
    return CacheView(
        row.id,
        row.key,
        row.version,
        row.scope,
        row.size_bytes,
        row.digest,
        time_text(row.created_at),
        time_text(row.used_at),
    )
