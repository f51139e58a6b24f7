"""Signed URLs of artifacts and caches: Azure's block-blob dialect on the way up, plain HTTP on the way down.

    PUT URL&comp=block&blockid=ID      a block, in any order, any number of times
    PUT URL&comp=blocklist             which blocks, in which order: the upload is complete
    PUT URL                            all of it at once (x-ms-blob-type: BlockBlob)
    GET URL                            what was finished

The path has three parts and more: Azure's client takes the first for an account on hosts that are addresses, the next
for a container. Block ids and block lists are strangers' texts: an id becomes a hash, the list is read by pattern. What is
done with the bytes is `agent.server.data.uploads`'.
"""

import re
import secrets
from email.utils import formatdate
from typing import Final

from starlette.responses import Response

from agent.errors import NotFoundError, UsageError
from agent.server.data.shelves import SHELVES, Shelf, Stored
from agent.server.http.call import Call
from agent.server.http.connection_limits import prove
from agent.server.http.downloads import DOWNLOAD_SECONDS, send, send_tree
from agent.server.http.operation import Operation
from agent.server.people.auth.access import Access
from agent.server.process.problems import MalformedError

PATH = "/blobs/{shelf}/{number:int}/content"
_UPLOAD_SECONDS: Final = 6 * 3600.0
_LONGEST_BLOCK_ID: Final = 256
_LONGEST_NUMBER: Final = 15
_LONGEST_LIST_BYTES: Final = 16 << 20  # 50,000 blocks at most, Azure says
_BLOCK: Final = re.compile(rb"<(?:Latest|Uncommitted|Committed)>\s*([A-Za-z0-9+/=_-]*)\s*</")


def upload_url(call: Call, shelf: Shelf, number: int) -> str:
    """A URL with which anybody may upload the thing for a while.

    It leads to us also where the bytes go into a bucket: S3 does not speak the dialect that GitHub's clients upload in.
    """
    return _signed_url(call, "upload", shelf, number, _UPLOAD_SECONDS)


async def download_url(call: Call, shelf: Shelf, stored: Stored) -> str:
    """A URL with which anybody may download the thing for a while: straight from the bucket, where there is one."""
    rooms = call.rooms.data
    direct = None if stored.is_tree else await rooms.blobs.direct_url(stored.blob, DOWNLOAD_SECONDS)
    return direct or _signed_url(call, "download", shelf, stored.id, DOWNLOAD_SECONDS)


async def put_bytes(call: Call) -> Response:
    """One request of an upload."""
    shelf, uploads = _check_signature(call, "upload"), call.rooms.data.uploads
    stored = await uploads.find_open(shelf, call.number("number"))
    command = _single(call, "comp")
    if command == "block":
        block, size = _read_block(call)
        await uploads.put_block(shelf, stored, block, size, call.request.stream())
    elif command == "blocklist":
        listed = await call.raw_body(_LONGEST_LIST_BYTES)
        await uploads.join_blocks(shelf, stored, _read_blocks(listed), listed)
    elif command is None:
        await uploads.put_all(shelf, stored, call.request.stream())
    else:
        raise MalformedError(f"'comp={command[:20]}' is not spoken here")
    return Response(status_code=201, headers=_azure_headers())


async def get_bytes(call: Call) -> Response:
    """What was finished."""
    shelf = _check_signature(call, "download")
    stored = await call.rooms.data.uploads.find(shelf, call.number("number"))
    if not stored.is_final:
        raise NotFoundError("there is no such thing here")
    if stored.is_tree:
        return await send_tree(call.rooms, stored, follows_links=True)
    return send(call.rooms, stored)


def _signed_url(call: Call, purpose: str, shelf: Shelf, number: int, seconds: float) -> str:
    path = PATH.replace("{shelf}", shelf.name).replace("{number:int}", str(number))
    expires = call.rooms.clock.now() + seconds
    return call.base_url + call.rooms.people.signed_urls.sign(
        f"{shelf.name}-{purpose}", path, expires=expires
    )


def _check_signature(call: Call, purpose: str) -> Shelf:
    """The shelf of the path. Raises RefusedError unless the URL was signed for `purpose`."""
    name = call.text("shelf")
    query = call.request.query_params.multi_items()
    path = call.request.url.path
    call.rooms.people.signed_urls.check(f"{name}-{purpose}", path, query, call.rooms.clock.now())
    prove(call.request.scope)
    return SHELVES[name]  # nothing is signed for a shelf that is not there


def _read_block(call: Call) -> tuple[bytes, int]:
    """A block's id, and how many bytes it says it has. Raises MalformedError."""
    block = _single(call, "blockid") or ""
    if not 0 < len(block) <= _LONGEST_BLOCK_ID:
        raise MalformedError("'blockid' is missing or too long")
    size = call.request.headers.get("content-length", "")
    if not (size.isascii() and size.isdigit() and len(size) < _LONGEST_NUMBER):
        raise MalformedError(
            "a block says how long it is", hint="send Content-Length, as Azure's Put Block does"
        )
    return block.encode(), int(size)


def _read_blocks(listed: bytes) -> list[bytes]:
    """The ids in a block list. Raises UsageError."""
    blocks: list[bytes] = _BLOCK.findall(listed)
    if len(set(blocks)) < len(blocks):
        raise UsageError("the block list names a block twice")
    return blocks


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
