"""`/api/v1/trees/N`: artifacts that are stored by content, in chunks, as jobs send and fetch them; `/api/v1/artifacts/N/tree`:
as people fetch them.

    CreateArtifact with `tree` (`agent.server.toolkit.artifacts`) -> POST claims (the answer says what is missing)
        -> PUT packs -> PUT manifest -> FinalizeArtifact
    GET manifest -> POST chunks

All of it may be sent again without harm.
"""

from typing import Annotated

import msgspec
from starlette.responses import Response, StreamingResponse

from agent.server.data.manifests import LONGEST_MANIFEST, check_chunk
from agent.server.data.tree_reading import TreeBytes
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import BYTES, V1, Operation
from agent.server.people.auth.access import Access
from agent.server.people.auth.runtime import JobIdentity
from agent.server.process.problems import MalformedError, UnauthorizedError

_MOST_CHUNKS = 4000  # in one request
_LONGEST_NUMBER = 15

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Claim(msgspec.Struct, forbid_unknown_fields=True):
    """Chunks that the tree has: their SHA-256 in hex and their length, `[["…", 1048576], …]`."""

    chunks: Annotated[list[tuple[Digest, int]], msgspec.Meta(max_length=_MOST_CHUNKS)]


class ClaimView(msgspec.Struct):
    """The chunks that are still to be sent."""

    missing: list[Digest]


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """Chunks of the tree, by their SHA-256."""

    chunks: Annotated[list[Digest], msgspec.Meta(max_length=_MOST_CHUNKS)]


class TreeView(msgspec.Struct):
    """A tree whose chunks are all here; `digest` is the SHA-256 of its manifest."""

    digest: str


async def claim_chunks(call: Call) -> Response:
    """Name chunks of a tree that the job uploads: the answer says which are missing; the others stay for it."""
    body = await call.body(Claim)
    wanted = [check_chunk(digest, size) for digest, size in body.chunks]
    missing = await call.rooms.data.tree_uploads.claim(_job_of(call), call.number("tree"), wanted)
    return view_response(ClaimView(missing))


async def put_pack(call: Call) -> Response:
    """Send chunks, many together: four bytes (big end first) say how long their list is, then the list as in a claim, then they.

    Each is held against its digest; none is kept unless all are right.
    """
    size = call.request.headers.get("content-length", "")
    if not (size.isascii() and size.isdigit() and len(size) < _LONGEST_NUMBER):
        raise MalformedError("a pack says how long it is", hint="send Content-Length")
    uploads = call.rooms.data.tree_uploads
    await uploads.put_pack(_job_of(call), call.number("tree"), int(size), call.request.stream())
    return empty_response()


async def put_manifest(call: Call) -> Response:
    """Say what the chunks are, all of which have been sent: the tree can be finalized from now on."""
    raw = await call.raw_body(LONGEST_MANIFEST)
    digest = await call.rooms.data.tree_uploads.put_manifest(_job_of(call), call.number("tree"), raw)
    return view_response(TreeView(digest))


async def get_manifest(call: Call) -> Response:
    """What is in a finished tree of the job's run, or that was brought to it: its chunks, files, folders and links."""
    return await _send_manifest(call, call.number("tree"))


async def get_chunks(call: Call) -> Response:
    """Chunks of a finished tree of the job's run, or that was brought to it, one after the other."""
    return await _send_chunks(call, call.number("tree"))


async def show_manifest(call: Call) -> Response:
    """What is in a finished tree: its chunks, files, folders and links."""
    return await _send_manifest(call, call.number("artifact"))


async def fetch_chunks(call: Call) -> Response:
    """Chunks of a finished tree, one after the other."""
    return await _send_chunks(call, call.number("artifact"))


async def _send_manifest(call: Call, artifact: int) -> Response:
    trees = call.rooms.data.trees
    return _send(trees.read_manifest(await trees.find(artifact, call.caller.job)))


async def _send_chunks(call: Call, artifact: int) -> Response:
    body, trees = await call.body(Wanted), call.rooms.data.trees
    return _send(await trees.read_chunks(await trees.find(artifact, call.caller.job), body.chunks))


def _job_of(call: Call) -> JobIdentity:
    if call.caller.job is None:
        raise UnauthorizedError("a job's token is needed")
    return call.caller.job


def _send(found: TreeBytes) -> Response:
    headers = {
        "Content-Length": str(found.size_bytes),
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return StreamingResponse(found.pieces, media_type="application/octet-stream", headers=headers)


_OF_JOBS = (
    f"{V1}/trees/{{tree:int}}"  # an artifact's number: what was brought to a job may be of another project
)
_OF_PEOPLE = f"{V1}/artifacts/{{artifact:int}}/tree"
OPERATIONS = (
    Operation(
        "POST",
        f"{_OF_JOBS}/claims",
        Access.JOB,
        claim_chunks,
        body=Claim,
        answers={200: ClaimView},
        problems=(409, 422),
    ),
    Operation("PUT", f"{_OF_JOBS}/packs", Access.JOB, put_pack, body=BYTES, problems=(409, 422)),
    Operation(
        "PUT",
        f"{_OF_JOBS}/manifest",
        Access.JOB,
        put_manifest,
        body=BYTES,
        answers={200: TreeView},
        problems=(409, 422),
    ),
    Operation("GET", f"{_OF_JOBS}/manifest", Access.JOB, get_manifest, answers={200: BYTES}),
    Operation("POST", f"{_OF_JOBS}/chunks", Access.JOB, get_chunks, body=Wanted, answers={200: BYTES}),
    Operation("GET", f"{_OF_PEOPLE}/manifest", Access.VIEWER, show_manifest, answers={200: BYTES}),
    Operation(
        "POST",
        f"{_OF_PEOPLE}/chunks",
        Access.VIEWER,
        fetch_chunks,
        body=Wanted,
        answers={200: BYTES},
        is_part=True,
    ),
)
