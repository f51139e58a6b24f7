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

from starlette.responses import RedirectResponse, Response, StreamingResponse

from agent.errors import NotFoundError, UsageError
from agent.server.auth.access import Access
from agent.server.blobs.store import Written
from agent.server.call import Call
from agent.server.operation import Operation
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


def upload_url(call: Call, artifact: int) -> str:
    """A URL with which anybody may upload the artifact for a while.

    It leads to us also where the bytes go into a bucket: S3 does not speak the dialect that GitHub's clients upload in.
    """
    return _signed_url(call, "upload", artifact, _UPLOAD_SECONDS)


async def download_url(call: Call, artifact: int) -> str:
    """A URL with which anybody may download the artifact for a while: straight from the bucket, where there is one."""
    direct = await call.services.blobs.direct_url(artifact_key(artifact), _DOWNLOAD_SECONDS)
    return direct or _signed_url(call, "download", artifact, _DOWNLOAD_SECONDS)


async def put_bytes(call: Call) -> Response:
    """One request of an upload."""
    artifact = _check_signature(call, "upload")
    row = await _find_open(call.services, artifact)
    command = _single(call, "comp")
    if command == "block":
        await _put_block(call, artifact)
    elif command == "blocklist":
        await _join_blocks(call, row)
    elif command is None:
        await _put_all(call, row)
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
    return _send(call.services, row)


async def redirect_or_send(services: Services, row: ArtifactRow) -> Response:
    """The artifact's bytes, or the way to them."""
    direct = await services.blobs.direct_url(artifact_key(row.id), _DOWNLOAD_SECONDS)
    if direct is not None:
        return RedirectResponse(direct, 302, {"Cache-Control": "no-store"})
    return _send(services, row)


def _send(services: Services, row: ArtifactRow) -> Response:
    """The artifact's bytes as a file to save; nothing in it can act on this origin."""
    headers = {
        **_headers_of(row),
        "Content-Length": str(row.size_bytes),
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return StreamingResponse(services.blobs.read(artifact_key(row.id)), headers=headers)


def _headers_of(row: ArtifactRow) -> dict[str, str]:
    """What its bytes are, for whoever downloads them from us or from a bucket."""
    is_zip = row.mime_type == "application/zip"
    file = f"{row.name}.zip" if is_zip and not row.name.endswith(".zip") else row.name
    return {
        "Content-Type": row.mime_type,
        "Content-Disposition": f"attachment; filename=\"{_UNSAFE.sub('_', file)}\"; filename*=UTF-8''{quote(file)}",
    }


def _signed_url(call: Call, purpose: str, artifact: int, seconds: float) -> str:
    path = PATH.replace("{artifact:int}", str(artifact))
    expires = call.services.clock.now() + seconds
    return call.base_url + call.services.signed_urls.sign(f"artifact-{purpose}", path, expires=expires)


def _check_signature(call: Call, purpose: str) -> int:
    """The artifact of the path. Raises RefusedError unless the URL was signed for `purpose`."""
    query = call.request.query_params.multi_items()
    path = call.request.url.path
    call.services.signed_urls.check(f"artifact-{purpose}", path, query, call.services.clock.now())
    return call.number("artifact")


async def _find_open(services: Services, artifact: int) -> ArtifactRow:
    async with services.database.read() as connection:
        row = await artifacts.find_artifact(connection, artifact)
    if row is None:
        raise NotFoundError("there is no such artifact")
    if row.status == "final":
        raise ConflictError("the artifact is complete; nothing can be added")
    return row


async def _put_block(call: Call, artifact: int) -> None:
    block = _single(call, "blockid") or ""
    if not 0 < len(block) <= _LONGEST_BLOCK_ID:
        raise MalformedError("'blockid' is missing or too long")
    await call.services.blobs.write(
        _block_key(artifact, block.encode()),
        call.request.stream(),
        limit_bytes=call.services.settings.limits.artifact_bytes,
    )


async def _join_blocks(call: Call, row: ArtifactRow) -> None:
    blocks = _BLOCK.findall(await call.raw_body(_LONGEST_LIST_BYTES))
    try:
        written = await call.services.blobs.join(
            artifact_key(row.id),
            [_block_key(row.id, block) for block in blocks],
            limit_bytes=call.services.settings.limits.artifact_bytes,
            headers=_headers_of(row),
        )
    except NotFoundError:
        raise UsageError("the block list names a block that was never sent") from None
    await _mark_uploaded(call.services, row.id, written)


async def _put_all(call: Call, row: ArtifactRow) -> None:
    written = await call.services.blobs.write(
        artifact_key(row.id),
        call.request.stream(),
        limit_bytes=call.services.settings.limits.artifact_bytes,
        headers=_headers_of(row),
    )
    await _mark_uploaded(call.services, row.id, written)


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


OPERATIONS = (
    Operation("PUT", PATH, Access.SIGNED, put_bytes, query=None, documented=False),
    Operation("GET", PATH, Access.SIGNED, get_bytes, query=None, documented=False),
)
