"""`/api/v1/snapshots/sha256:HEX`: a caller's working tree, stored once by content in each project."""

import re

from starlette.responses import Response, StreamingResponse

from agent.server.data.snapshots import SnapshotView
from agent.server.http.call import Call, view_response
from agent.server.http.operation import BYTES, V1, Media, Operation
from agent.server.people.auth.access import Access
from agent.server.process.problems import MalformedError

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


async def put_snapshot(call: Call) -> Response:
    """Store the archive in the body for the project, when its digest is the one that the path says."""
    digest, snapshots = _read_digest(call), call.rooms.data.snapshots
    view, is_new = await snapshots.put(call.project, digest, call.request.stream())
    return view_response(view, 201 if is_new else 200)


async def get_snapshot(call: Call) -> Response:
    """The project's archive; a job gets the one that its run works on, no other."""
    digest, snapshots = _read_digest(call), call.rooms.data.snapshots
    if call.caller.job is not None:
        found = await snapshots.open_for_job(call.caller.job, digest)
    else:
        found = await snapshots.open(call.project.id, digest)
    headers = {"Content-Length": str(found.size_bytes), "X-Content-Type-Options": "nosniff"}
    if call.request.method == "HEAD":
        return Response(media_type="application/gzip", headers=headers)
    return StreamingResponse(found.chunks, media_type="application/gzip", headers=headers)


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
