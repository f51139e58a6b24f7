"""`/api/v1/snapshots/sha256:HEX`: a caller's working tree, stored once by content."""

import re

import msgspec
from starlette.responses import Response, StreamingResponse

from agent.errors import NotFoundError, RefusedError
from agent.server.auth.access import Access
from agent.server.call import Call, view_response
from agent.server.operation import BYTES, V1, Media, Operation
from agent.server.problems import MalformedError
from agent.server.store import jobs, settings

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class SnapshotView(msgspec.Struct):
    """A stored snapshot."""

    digest: str
    size_bytes: int


async def put_snapshot(call: Call) -> Response:
    """Store the archive in the body, when its digest is the one that the path says."""
    digest, key = _read_digest(call)
    async with call.services.database.read() as connection:
        known = await settings.find_snapshot(connection, digest)
    if known is not None:
        return view_response(SnapshotView(digest, known))
    written = await call.services.blobs.write(
        key,
        call.request.stream(),
        limit_bytes=call.services.settings.limits.snapshot_bytes,
        digest=digest,
    )
    async with call.services.changes.begin() as change:
        await settings.put_snapshot(change.connection, digest, written.size_bytes, change.now)
    return view_response(SnapshotView(digest, written.size_bytes), 201)


async def get_snapshot(call: Call) -> Response:
    """The archive; a job gets the one that its run works on, no other."""
    digest, key = _read_digest(call)
    if call.caller.job is not None:
        async with call.services.database.read() as connection:
            spec = await jobs.load_spec(connection, call.caller.job.job)
        if spec.source.digest != digest:
            raise RefusedError("a job may read the snapshot of its own run only")
    async with call.services.database.read() as connection:
        size = await settings.find_snapshot(connection, digest)
    if size is None:
        raise NotFoundError(f"there is no snapshot {digest}")
    headers = {"Content-Length": str(size), "X-Content-Type-Options": "nosniff"}
    if call.request.method == "HEAD":
        return Response(media_type="application/gzip", headers=headers)
    return StreamingResponse(call.services.blobs.read(key), media_type="application/gzip", headers=headers)


def _read_digest(call: Call) -> tuple[str, str]:
    match = _DIGEST.fullmatch(call.text("digest"))
    if match is None:
        raise MalformedError("a snapshot is named by sha256: and 64 hexadecimal digits")
    return match[0], f"snapshots/{match[1]}"


_PATH = f"{V1}/snapshots/{{digest}}"
OPERATIONS = (
    Operation(
        "PUT",
        _PATH,
        Access.RUNNER,
        put_snapshot,
        body=BYTES,
        answers={200: SnapshotView, 201: SnapshotView},
    ),
    Operation("GET", _PATH, Access.RUNNER_OR_JOB, get_snapshot, answers={200: Media("application/gzip")}),
)
