"""`/api/v1/snapshots/sha256:HEX`: a caller's working tree, stored once by content in each project."""

import re
import secrets

import msgspec
from starlette.responses import Response, StreamingResponse

from agent.errors import NotFoundError, RefusedError
from agent.server.http.call import Call, view_response
from agent.server.http.operation import BYTES, V1, Media, Operation
from agent.server.people.auth.access import Access
from agent.server.process.problems import MalformedError, TooLargeError
from agent.server.store import jobs, snapshots
from agent.server.store.locks import lock_name
from agent.server.store.snapshots import SnapshotRow

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class SnapshotView(msgspec.Struct):
    """A stored snapshot."""

    digest: str
    size_bytes: int


async def put_snapshot(call: Call) -> Response:
    """Store the archive in the body for the project, when its digest is the one that the path says."""
    digest = _read_digest(call)
    project = call.project
    async with call.rooms.database.read() as connection:
        known = await snapshots.find_snapshot(connection, project.id, digest)
        used = await snapshots.size_of_all(connection, project.id)
    if known is not None:
        return view_response(SnapshotView(digest, known.size_bytes))
    blob = f"snapshots/{project.id}/{digest.removeprefix('sha256:')}/{secrets.token_hex(8)}"
    written = await call.rooms.data.blobs.write(
        blob, call.request.stream(), limit_bytes=_room(call, used), digest=digest
    )
    try:
        async with call.rooms.changes.begin() as change:
            await lock_name(change.connection, f"snapshots of {project.id}")
            row = SnapshotRow(project.id, digest, written.size_bytes, change.now, blob)
            is_new = await snapshots.put_snapshot(change.connection, row)
            used = await snapshots.size_of_all(change.connection, project.id)
            _room(
                call, used - written.size_bytes, needed=written.size_bytes
            )  # others may have come meanwhile
    except TooLargeError:
        await call.rooms.data.blobs.remove(blob)
        raise
    if not is_new:
        await call.rooms.data.blobs.remove(blob)
    return view_response(SnapshotView(digest, written.size_bytes), 201)


async def get_snapshot(call: Call) -> Response:
    """The project's archive; a job gets the one that its run works on, no other."""
    digest = _read_digest(call)
    project = await _project_of_job(call, digest) if call.caller.job is not None else call.project.id
    async with call.rooms.database.read() as connection:
        row = await snapshots.find_snapshot(connection, project, digest)
    if row is None:
        raise NotFoundError(f"there is no snapshot {digest}")
    headers = {"Content-Length": str(row.size_bytes), "X-Content-Type-Options": "nosniff"}
    if call.request.method == "HEAD":
        return Response(media_type="application/gzip", headers=headers)
    return StreamingResponse(
        call.rooms.data.blobs.read(row.blob), media_type="application/gzip", headers=headers
    )


async def _project_of_job(call: Call, digest: str) -> int:
    assert call.caller.job is not None
    async with call.rooms.database.read() as connection:
        spec = await jobs.load_spec(connection, call.caller.job.job)
        project = await jobs.project_of(connection, call.caller.job.job)
    if spec.source.digest != digest or project is None:
        raise RefusedError("a job may read the snapshot of its own run only")
    return project


def _room(call: Call, used: int, *, needed: int = 1) -> int:
    """How many bytes another snapshot of the project may have. Raises TooLargeError for fewer than are needed."""
    most, room = call.rooms.process.limits.snapshot_bytes, call.project.settings.max_snapshot_bytes
    if room is None:
        return most
    if used + needed > room:
        raise TooLargeError(
            f"the project's snapshots have {used} of {room} bytes",
            hint="those that no run works on go a week after their upload; or have the operator raise max_snapshot_bytes",
        )
    return min(most, room - used)


def _read_digest(call: Call) -> str:
    match = _DIGEST.fullmatch(call.text("digest"))
    if match is None:
        raise MalformedError("a snapshot is named by sha256: and 64 hexadecimal digits")
    return match[0]


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
