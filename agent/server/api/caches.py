"""`/api/v1/caches`: a project's caches, for people. Jobs themselves use `agent.server.toolkit.caches`."""

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError
from agent.server.events.views import Moment, time_text
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import LongPage, Next, RowId, cut, next_cursor
from agent.server.store import caches
from agent.server.store.caches import CacheRow
from agent.server.toolkit.blobs import remove_all
from agent.server.toolkit.shelves import CACHES, stored_cache


class CacheQuery(LongPage):
    """Only caches whose key begins with `prefix`."""

    prefix: str = ""


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


class CacheList(msgspec.Struct):
    """Caches, the last used first; how much room all of the project's take, and may take (null: no limit)."""

    caches: list[CacheView]
    size_bytes: int
    max_bytes: int | None
    next: Next


async def list_caches(call: Call) -> Response:
    """The project's caches, the last used first."""
    query, project = call.query(CacheQuery), call.project
    after = query.after(tuple[float, RowId])
    async with call.rooms.database.read() as connection:
        found = await caches.list_caches(
            connection, project.id, limit=query.limit + 1, after=after, prefix=query.prefix
        )
        used = await caches.size_of_all(connection, project.id)
    shown = cut(found, query.limit)
    behind = next_cursor(found, query.limit, (shown[-1].used_at, shown[-1].id) if shown else None)
    return view_response(
        CacheList([_view(row) for row in shown], used, project.settings.max_cache_bytes, behind)
    )


async def delete_cache(call: Call) -> Response:
    """Forget a cache: its key is free again."""
    number = call.number("cache")
    async with call.rooms.changes.begin() as change:
        row = await caches.find_cache(change.connection, number)
        if row is None:
            raise NotFoundError(f"there is no cache {number}")
        await caches.remove_caches(change.connection, [number])
    await remove_all(call.rooms, CACHES, stored_cache(row))
    return empty_response()


def _view(row: CacheRow) -> CacheView:
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


OPERATIONS = (
    Operation("GET", f"{V1}/caches", Access.VIEWER, list_caches, query=CacheQuery, answers={200: CacheList}),
    Operation("DELETE", f"{V1}/caches/{{cache:int}}", Access.MAINTAINER, delete_cache),
)
