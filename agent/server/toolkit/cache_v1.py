"""`_apis/artifactcache/`: the first version of GitHub's cache protocol, which clients speak that take us for GHES.

GET   cache?keys=a,b&version=      the best cache (200 with `archiveLocation`), or 204
POST  caches {key, version}        reserve: 201 {cacheId}, 409 when it is taken
PATCH caches/ID  Content-Range     a piece, in any order; repeated pieces are the same
POST  caches/ID {size}             commit
"""

import re

import msgspec
from starlette.responses import Response

from agent.server.data.shelves import CACHES
from agent.server.http.call import Call, empty_response, json_response
from agent.server.http.operation import Operation
from agent.server.people.auth.access import Access
from agent.server.process.problems import ConflictError, MalformedError, TooLargeError
from agent.server.toolkit.blobs import download_url
from agent.server.toolkit.caches import job_of

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
    keys = [key for key in query.get("keys", "").split(",") if key]
    found = await call.rooms.data.job_caches.look_up(job_of(call), keys, query.get("version", ""))
    if found is None:
        return empty_response()
    view = found.view
    shown = {
        "archiveLocation": await download_url(call, CACHES, found.stored),
        "cacheKey": view.key,
        "cacheVersion": view.version,
        "scope": view.ref,
        "creationTime": view.created,
    }
    return json_response(shown)


async def reserve(call: Call) -> Response:
    """Take a key."""
    body = await call.body(ReserveBody)
    found = await call.rooms.data.job_caches.reserve(job_of(call), body.key, body.version)
    if found.id is None:
        raise ConflictError("the key is taken, or this run may write no caches", where=body.key[:80])
    return json_response({"cacheId": found.id}, 201)


async def put(call: Call) -> Response:
    """A piece of the archive."""
    uploads = call.rooms.data.uploads
    stored = await call.rooms.data.job_caches.find_own(job_of(call), call.number("cache"))
    span = _RANGE.fullmatch(call.request.headers.get("content-range", ""))
    if span is None or int(span[1]) > int(span[2]):
        raise MalformedError("the header Content-Range is to say which piece this is: bytes FIRST-LAST/*")
    start, size = int(span[1]), int(span[2]) - int(span[1]) + 1
    if start + size > await uploads.limit(CACHES, stored):
        raise TooLargeError("the cache is larger than the project has room for")
    await uploads.put_piece(CACHES, stored, start, size, call.request.stream())
    return empty_response()


async def commit(call: Call) -> Response:
    """The archive is complete."""
    caches, job, cache = call.rooms.data.job_caches, job_of(call), call.number("cache")
    await caches.find_own(job, cache)
    body = await call.body(CommitBody)
    await caches.finish_pieces(job, cache, body.size)
    return empty_response()


OPERATIONS = tuple(
    Operation(verb, f"{BASE}/{path}", Access.JOB, handler, query=None, documented=False)
    for verb, path, handler in (
        ("GET", "cache", find),
        ("POST", "caches", reserve),
        ("PATCH", "caches/{cache:int}", put),
        ("POST", "caches/{cache:int}", commit),
    )
)
