"""`_apis/artifactcache/`: the first version of GitHub's cache protocol, which clients speak that take us for GHES.

GET   cache?keys=a,b&version=      the best cache (200 with `archiveLocation`), or 204
POST  caches {key, version}        reserve: 201 {cacheId}, 409 when it is taken
PATCH caches/ID  Content-Range     a piece, in any order; repeated pieces are the same
POST  caches/ID {size}             commit
"""

import re

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError, UsageError
from agent.server.data import caches as shelf
from agent.server.events.views import time_text
from agent.server.http.call import Call, empty_response, json_response
from agent.server.http.operation import Operation
from agent.server.people.auth.access import Access
from agent.server.process.problems import ConflictError, MalformedError, TooLargeError
from agent.server.store import caches
from agent.server.store.states import UploadStatus
from agent.server.toolkit.blobs import download_url, join_pieces, put_piece, upload_pieces
from agent.server.toolkit.caches import finish, job_of, look_up
from agent.server.toolkit.shelves import CACHES, stored_cache

BASE = "/_apis/artifactcache"
_RANGE = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/\*")


class ReserveBody(msgspec.Struct):
    """What is to be cached."""

    key: str
    version: str
    cache_size: int | None = msgspec.field(default=None, name="cacheSize")


class CommitBody(msgspec.Struct):
    """How large it has become."""

    size: int


async def find(call: Call) -> Response:
    """The best cache for the keys."""
    query = call.request.query_params
    row = await look_up(
        call, [key for key in query.get("keys", "").split(",") if key], query.get("version", "")
    )
    if row is None:
        return empty_response()
    found = {
        "archiveLocation": await download_url(call, CACHES, stored_cache(row)),
        "cacheKey": row.key,
        "cacheVersion": row.version,
        "scope": row.scope,
        "creationTime": time_text(row.created_at),
    }
    return json_response(found)


async def reserve(call: Call) -> Response:
    """Take a key."""
    body = await call.body(ReserveBody)
    place = await shelf.find_place(call.rooms.database, job_of(call))
    async with call.rooms.changes.begin() as change:
        cache = await shelf.reserve(change, place, body.key, body.version)
    if cache is None:
        raise ConflictError("the key is taken, or this run may write no caches", where=body.key[:80])
    return json_response({"cacheId": cache}, 201)


async def put(call: Call) -> Response:
    """A piece of the archive."""
    row = await _find_own(call)
    span = _RANGE.fullmatch(call.request.headers.get("content-range", ""))
    if span is None or int(span[1]) > int(span[2]):
        raise MalformedError("the header Content-Range is to say which piece this is: bytes FIRST-LAST/*")
    start, size = int(span[1]), int(span[2]) - int(span[1]) + 1
    if start + size > await CACHES.limit(call.rooms, stored_cache(row)):
        raise TooLargeError("the cache is larger than the project has room for")
    await put_piece(call, CACHES, stored_cache(row), start, size)
    return empty_response()


async def commit(call: Call) -> Response:
    """The archive is complete."""
    row = await _find_own(call)
    body = await call.body(CommitBody)
    if row.status is not UploadStatus.FINAL:
        pieces = await upload_pieces(call.rooms, CACHES, row.id)
        if not pieces or pieces[-1][1] != body.size:
            raise UsageError("the pieces that have arrived do not make up the archive", where=row.key)
        await join_pieces(call, CACHES, stored_cache(row), pieces)
    async with call.rooms.database.read() as connection:
        row = await caches.find_cache(connection, row.id) or row
    await finish(call, row, body.size)
    return empty_response()


async def _find_own(call: Call) -> caches.CacheRow:
    async with call.rooms.database.read() as connection:
        row = await caches.find_cache(connection, call.number("cache"))
    if row is None or row.job != job_of(call).job:
        raise NotFoundError("this job has reserved no such cache")
    return row


OPERATIONS = tuple(
    Operation(verb, f"{BASE}/{path}", Access.JOB, handler, query=None, documented=False)
    for verb, path, handler in (
        ("GET", "cache", find),
        ("POST", "caches", reserve),
        ("PATCH", "caches/{cache:int}", put),
        ("POST", "caches/{cache:int}", commit),
    )
)
