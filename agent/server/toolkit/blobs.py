"""The signed URLs of artifacts: Azure's block-blob dialect on the way up, plain HTTP on the way down.

    PUT URL&comp=block&blockid=ID      a block, in any order, any number of times
    PUT URL&comp=blocklist             which blocks, in which order: the upload is complete
    PUT URL                            all of it at once (x-ms-blob-type: BlockBlob)
    GET URL                            the finished artifact

The path has three parts and more: Azure's client takes the first for an account on hosts that are addresses, the next
for a container. Block ids and block lists are strangers' texts: an id becomes a hash, the list is read by pattern.
"""

import hashlib
import re
import secrets
from email.utils import formatdate
from typing import Final
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from agent.errors import NotFoundError, UsageError
from agent.server.blobs.store import Written
from agent.server.call import Call
from agent.server.problems import ConflictError, MalformedError
from agent.server.services import Services
from agent.server.store import artifacts
from agent.server.store.artifacts import ArtifactRow

PATH = "/blobs/artifacts/{artifact:int}/content"
_UPLOAD_SECONDS: Final = 6 * 3600.0
_DOWNLOAD_SECONDS: Final = 3600.0
_LONGEST_BLOCK_ID: Final = 256
_LONGEST_LIST_BYTES: Final = 16 << 20  # 50,000 blocks at most, Azure says
_BLOCK: Final = re.compile(rb"<(?:Latest|Uncommitted|Committed)>\s*([A-Za-z0-9+/=_-]*)\s*</")
_UNSAFE: Final = re.compile(r'[^\x20-\x7e]|["\\]')


def artifact_key(artifact: int) -> str:
    """Where an artifact's bytes lie in the blob store."""
    return f"artifacts/{artifact}"


def parts_key(artifact: int) -> str:
    """Where its blocks lie until they are joined."""
    return f"parts/{artifact}"


def signed_url(call: Call, purpose: str, artifact: int) -> str:
    """A URL with which anybody may `upload` or `download` the artifact for a while."""
    path = PATH.replace("{artifact:int}", str(artifact))
    seconds = _UPLOAD_SECONDS if purpose == "upload" else _DOWNLOAD_SECONDS
    expires = call.services.clock.now() + seconds
    return call.base_url + call.services.signed_urls.sign(f"artifact-{purpose}", path, expires=expires)


async def put_bytes(call: Call) -> Response:
    """One request of an upload."""
    artifact = _check_signature(call, "upload")
    await _check_open(call.services, artifact)
    command = _single(call, "comp")
    if command == "block":
        await _put_block(call, artifact)
    elif command == "blocklist":
        await _join_blocks(call, artifact)
    elif command is None:
        await _put_all(call, artifact)
    else:
        raise MalformedError(f"'comp={command[:20]}' is not spoken here")
    return Response(status_code=201, headers=_azure_headers())


async def get_bytes(call: Call) -> Response:
    """A finished artifact."""
    artifact = _check_signature(call, "download")
    async with call.services.database.read() as connection:
        row = await artifacts.find_artifact(connection, artifact)
    if row is None or row.status != "final":
        raise NotFoundError("there is no such artifact")
    return download_response(call.services, row)


def download_response(services: Services, row: ArtifactRow) -> Response:
    """The artifact's bytes as a file to save; nothing in it can act on this origin."""
    is_zip = row.mime_type == "application/zip"
    file = f"{row.name}.zip" if is_zip and not row.name.endswith(".zip") else row.name
    headers = {
        "Content-Length": str(row.size_bytes),
        "Content-Disposition": f"attachment; filename=\"{_UNSAFE.sub('_', file)}\"; filename*=UTF-8''{quote(file)}",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return StreamingResponse(
        services.blobs.read(artifact_key(row.id)), media_type=row.mime_type, headers=headers
    )


def _check_signature(call: Call, purpose: str) -> int:
    """The artifact of the path. Raises RefusedError unless the URL was signed for `purpose`."""
    query = call.request.query_params.multi_items()
    path = call.request.url.path
    call.services.signed_urls.check(f"artifact-{purpose}", path, query, call.services.clock.now())
    return call.number("artifact")


async def _check_open(services: Services, artifact: int) -> None:
    async with services.database.read() as connection:
        row = await artifacts.find_artifact(connection, artifact)
    if row is None:
        raise NotFoundError("there is no such artifact")
    if row.status == "final":
        raise ConflictError("the artifact is complete; nothing can be added")


async def _put_block(call: Call, artifact: int) -> None:
    block = _single(call, "blockid") or ""
    if not 0 < len(block) <= _LONGEST_BLOCK_ID:
        raise MalformedError("'blockid' is missing or too long")
    await call.services.blobs.write(
        _block_key(artifact, block.encode()),
        call.request.stream(),
        limit_bytes=call.services.settings.limits.artifact_bytes,
    )


async def _join_blocks(call: Call, artifact: int) -> None:
    blocks = _BLOCK.findall(await call.raw_body(_LONGEST_LIST_BYTES))
    try:
        written = await call.services.blobs.join(
            artifact_key(artifact),
            [_block_key(artifact, block) for block in blocks],
            limit_bytes=call.services.settings.limits.artifact_bytes,
        )
    except NotFoundError:
        raise UsageError("the block list names a block that was never sent") from None
    await _mark_uploaded(call.services, artifact, written)


async def _put_all(call: Call, artifact: int) -> None:
    written = await call.services.blobs.write(
        artifact_key(artifact),
        call.request.stream(),
        limit_bytes=call.services.settings.limits.artifact_bytes,
    )
    await _mark_uploaded(call.services, artifact, written)


async def _mark_uploaded(services: Services, artifact: int, written: Written) -> None:
    async with services.changes.begin() as change:
        if not await artifacts.mark_uploaded(change.connection, artifact, written.size_bytes, written.digest):
            raise ConflictError("the artifact was completed or deleted meanwhile")


def _block_key(artifact: int, block: bytes) -> str:
    return f"{parts_key(artifact)}/{hashlib.sha256(block).hexdigest()}"


def _single(call: Call, name: str) -> str | None:
    """A query parameter that may come once. Raises MalformedError."""
    values = call.request.query_params.getlist(name)
    if len(values) > 1:
        raise MalformedError(f"'{name}' is there {len(values)} times")
    return values[0] if values else None


def _azure_headers() -> dict[str, str]:
    return {
        "ETag": f'"{secrets.token_hex(8)}"',
        "Last-Modified": formatdate(usegmt=True),
        "x-ms-request-id": secrets.token_hex(16),
        "x-ms-version": "2025-01-05",
        "x-ms-request-server-encrypted": "false",
    }
