"""`github.actions.results.api.v1.CacheService`: caches as `@actions/cache` 4 and later uses them.

    CreateCacheEntry -> a signed URL -> (the bytes, `agent.server.toolkit.blobs`) -> FinalizeCacheEntryUpload
    GetCacheEntryDownloadURL -> a signed URL

`ok: false` says that a key is taken, or that nothing was found: to the client that is no failure.
"""

from starlette.responses import Response

from agent.server.data.shelves import CACHES
from agent.server.http.call import Call, json_response
from agent.server.http.operation import Operation
from agent.server.people.auth.access import Access
from agent.server.people.auth.runtime import JobIdentity
from agent.server.process.problems import MalformedError, UnauthorizedError
from agent.server.toolkit.blobs import download_url, upload_url
from agent.server.toolkit.twirp import number_field, read_fields, text_field

SERVICE = "/twirp/github.actions.results.api.v1.CacheService"


async def create_entry(call: Call) -> Response:
    """Reserve a key in the job's scope, and say where the bytes go."""
    fields = await read_fields(call)
    key, version = text_field(fields, "key"), text_field(fields, "version")
    found = await call.rooms.data.job_caches.reserve(job_of(call), key, version)
    if found.id is None:
        return json_response({"ok": False, "message": found.why})
    return json_response({"ok": True, "signed_upload_url": upload_url(call, CACHES, found.id)})


async def finalize_entry(call: Call) -> Response:
    """The cache is complete: it is found from now on."""
    fields = await read_fields(call)
    key, version = text_field(fields, "key"), text_field(fields, "version")
    size = number_field(fields, "size_bytes")
    number = await call.rooms.data.job_caches.finish(job_of(call), key, version, size)
    return json_response({"ok": True, "entry_id": str(number)})


async def find_entry(call: Call) -> Response:
    """Where the bytes of the best cache for the keys are."""
    fields = await read_fields(call)
    given = fields.get("restore_keys") or []
    if not isinstance(given, list) or not all(isinstance(key, str) for key in given):
        raise MalformedError("'restore_keys' is not a list of texts")
    keys, version = [text_field(fields, "key"), *given], text_field(fields, "version")
    found = await call.rooms.data.job_caches.look_up(job_of(call), keys, version)
    if found is None:
        return json_response({"ok": False, "signed_download_url": "", "matched_key": ""})
    url = await download_url(call, CACHES, found.stored)
    return json_response({"ok": True, "signed_download_url": url, "matched_key": found.view.key})


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
