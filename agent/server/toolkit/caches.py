"""`github.actions.results.api.v1.CacheService`: caches as `@actions/cache` 4 and later uses them.

    CreateCacheEntry -> a signed URL -> (the bytes, `agent.server.toolkit.blobs`) -> FinalizeCacheEntryUpload
    GetCacheEntryDownloadURL -> a signed URL

`ok: false` says that a key is taken, or that nothing was found: to the client that is no failure.
"""

from starlette.responses import Response

from agent.errors import NotFoundError, UsageError
from agent.server.data import caches as shelf
from agent.server.http.call import Call, json_response
from agent.server.http.operation import Operation
from agent.server.people.auth.access import Access
from agent.server.people.auth.runtime import JobIdentity
from agent.server.process.problems import ConflictError, MalformedError, UnauthorizedError
from agent.server.store import caches
from agent.server.store.states import UploadStatus
from agent.server.toolkit.blobs import download_url, remove_all, remove_parts, upload_url
from agent.server.toolkit.shelves import CACHES, stored_cache
from agent.server.toolkit.twirp import number_field, read_fields, text_field

SERVICE = "/twirp/github.actions.results.api.v1.CacheService"


async def create_entry(call: Call) -> Response:
    """Reserve a key in the job's scope, and say where the bytes go."""
    fields = await read_fields(call)
    place = await shelf.find_place(call.rooms.database, job_of(call))
    key, version = text_field(fields, "key"), text_field(fields, "version")
    async with call.rooms.changes.begin() as change:
        cache = await shelf.reserve(change, place, key, version)
    if cache is None:
        why = "the key is taken" if place.scopes.write else "this run may write no caches"
        return json_response({"ok": False, "message": why})
    return json_response({"ok": True, "signed_upload_url": upload_url(call, CACHES, cache)})


async def finalize_entry(call: Call) -> Response:
    """The cache is complete: it is found from now on."""
    fields = await read_fields(call)
    key, version = text_field(fields, "key"), text_field(fields, "version")
    async with call.rooms.database.read() as connection:
        row = await caches.find_reserved(connection, job_of(call).job, key, version)
    if row is None:
        raise NotFoundError(f"this job has reserved no cache '{key[:80]}'")
    number = await finish(call, row, number_field(fields, "size_bytes"))
    return json_response({"ok": True, "entry_id": str(number)})


async def find_entry(call: Call) -> Response:
    """Where the bytes of the best cache for the keys are."""
    fields = await read_fields(call)
    given = fields.get("restore_keys") or []
    if not isinstance(given, list) or not all(isinstance(key, str) for key in given):
        raise MalformedError("'restore_keys' is not a list of texts")
    row = await look_up(call, [text_field(fields, "key"), *given], text_field(fields, "version"))
    if row is None:
        return json_response({"ok": False, "signed_download_url": "", "matched_key": ""})
    url = await download_url(call, CACHES, stored_cache(row))
    return json_response({"ok": True, "signed_download_url": url, "matched_key": row.key})


async def look_up(call: Call, keys: list[str], version: str) -> caches.CacheRow | None:
    """The cache that the calling job is to restore; its use is noted."""
    place = await shelf.find_place(call.rooms.database, job_of(call))
    async with call.rooms.database.read() as connection:
        row = await shelf.look_up(connection, place, keys, version)
    if row is not None:
        async with call.rooms.changes.begin() as change:
            await caches.note_use(change.connection, row.id, change.now)
    return row


async def finish(call: Call, row: caches.CacheRow, size: int | None) -> int:
    """End the upload of `row`, which has `size` bytes if the client has said so."""
    if row.status is UploadStatus.UPLOADING:
        raise UsageError("the cache's bytes have not arrived", where=row.key)
    if size is not None and size != row.size_bytes:
        raise UsageError(f"the cache has {row.size_bytes} bytes here, not {size}", where=row.key)
    if row.status is not UploadStatus.FINAL:
        async with call.rooms.changes.begin() as change:
            gone = await shelf.finish(change, row)
        if gone is None:
            raise ConflictError("the cache was changed meanwhile")
        for cache in gone:
            await remove_all(call.rooms, CACHES, stored_cache(cache))
    await remove_parts(call.rooms, CACHES, row.id)
    return row.id


def job_of(call: Call) -> JobIdentity:
    """The job that calls. Raises UnauthorizedError."""
    if call.caller.job is None:
        raise UnauthorizedError("a job's token is needed")
    return call.caller.job


OPERATIONS = tuple(
    Operation("POST", f"{SERVICE}/{name}", Access.JOB, handler, query=None, documented=False)
    for name, handler in (
        ("CreateCacheEntry", create_entry),
        ("FinalizeCacheEntryUpload", finalize_entry),
        ("GetCacheEntryDownloadURL", find_entry),
    )
)
