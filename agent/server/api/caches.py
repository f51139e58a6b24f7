"""`/api/v1/caches`: a project's caches, for people. Jobs themselves use `agent.server.toolkit.caches`."""

import msgspec
from starlette.responses import Response

from agent.server.data.caches import CacheView
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import LongPage, Next


class CacheQuery(LongPage):
    """Only caches whose key begins with `prefix`."""

    prefix: str = ""


class CacheList(msgspec.Struct):
    """Caches, the last used first; how much room all of the project's take, and may take (null: no limit)."""

    caches: list[CacheView]
    size_bytes: int
    max_bytes: int | None
    next: Next


async def list_caches(call: Call) -> Response:
    """The project's caches, the last used first."""
    query, project = call.query(CacheQuery), call.project
    found = await call.rooms.data.caches.list_of(project.id, query, query.prefix)
    most = project.settings.max_cache_bytes
    return view_response(CacheList(found.views, found.size_bytes, most, found.next))


async def delete_cache(call: Call) -> Response:
    """Forget a cache: its key is free again."""
    await call.rooms.data.caches.remove(call.number("cache"))
    return empty_response()


OPERATIONS = (
    Operation("GET", f"{V1}/caches", Access.VIEWER, list_caches, query=CacheQuery, answers={200: CacheList}),
    Operation("DELETE", f"{V1}/caches/{{cache:int}}", Access.MAINTAINER, delete_cache),
)
