"""The signed URLs of artifacts and caches: Azure's block-blob dialect on the way up, plain HTTP on the way down.

    PUT URL&comp=block&blockid=ID      a block, in any order, any number of times
    PUT URL&comp=blocklist             which blocks, in which order: the upload is complete
    PUT URL                            all of it at once (x-ms-blob-type: BlockBlob)
    GET URL                            what was finished

The path has three parts and more: Azure's client takes the first for an account on hosts that are addresses, the next
for a container. Block ids and block lists are strangers' texts: an id becomes a hash, the list is read by pattern.

Each complete upload gets a key of its own in the blob store and becomes visible by its row: bytes that are on their way
while an upload is finalized can't change what was finalized. Blocks count against the project's room before they are written,
are taken for as long as the job runs that began the upload (`agent.server.toolkit.uploads`), and are gone when they are joined.
"""

import hashlib
import re
import secrets
from email.utils import formatdate
from typing import Final

from starlette.responses import RedirectResponse, Response, StreamingResponse

from agent.errors import NotFoundError, UsageError
from agent.server.data.blobs.store import Written
from agent.server.http.call import Call
from agent.server.http.connection_limits import prove
from agent.server.http.operation import Operation
from agent.server.http.rooms import Rooms
from agent.server.people.auth.access import Access
from agent.server.process.problems import ConflictError, MalformedError, TooLargeError
from agent.server.toolkit.shelves import SHELVES, Shelf, Stored
from agent.server.toolkit.uploads import alone, check_open, check_room, metered, reserved

PATH = "/blobs/{shelf}/{number:int}/content"
_UPLOAD_SECONDS: Final = 6 * 3600.0
_DOWNLOAD_SECONDS: Final = 3600.0
_LONGEST_BLOCK_ID: Final = 256
_LONGEST_NUMBER: Final = 15
_LONGEST_LIST_BYTES: Final = 16 << 20  # 50,000 blocks at most, Azure says
_REST: Final = re.compile(r"bytes=([0-9]{1,18})-")
_BLOCK: Final = re.compile(rb"<(?:Latest|Uncommitted|Committed)>\s*([A-Za-z0-9+/=_-]*)\s*</")


def upload_url(call: Call, shelf: Shelf, number: int) -> str:
    """A URL with which anybody may upload the thing for a while.

    It leads to us also where the bytes go into a bucket: S3 does not speak the dialect that GitHub's clients upload in.
    """
    return _signed_url(call, "upload", shelf, number, _UPLOAD_SECONDS)


async def download_url(call: Call, shelf: Shelf, stored: Stored) -> str:
    """A URL with which anybody may download the thing for a while: straight from the bucket, where there is one."""
    direct = await call.rooms.data.blobs.direct_url(stored.blob, _DOWNLOAD_SECONDS)
    return direct or _signed_url(call, "download", shelf, stored.id, _DOWNLOAD_SECONDS)


async def put_bytes(call: Call) -> Response:
    """One request of an upload."""
    shelf = _check_signature(call, "upload")
    stored = await shelf.find(call.rooms, call.number("number"))
    if stored.is_final:
        raise ConflictError("it is complete; nothing can be added")
    await check_open(call.rooms, shelf, stored)
    command = _single(call, "comp")
    if command == "block":
        await _put_block(call, shelf, stored)
    elif command == "blocklist":
        await _join_blocks(call, shelf, stored)
    elif command is None:
        await _put_all(call, shelf, stored)
    else:
        raise MalformedError(f"'comp={command[:20]}' is not spoken here")
    return Response(status_code=201, headers=_azure_headers())


async def get_bytes(call: Call) -> Response:
    """What was finished."""
    shelf = _check_signature(call, "download")
    stored = await shelf.find(call.rooms, call.number("number"))
    if not stored.is_final:
        raise NotFoundError("there is no such thing here")
    return _send(call.rooms, stored)


async def put_piece(call: Call, shelf: Shelf, stored: Stored, start: int, size: int) -> None:
    """Take the body for the `size` bytes from `start` on. Raises DamagedError when it has another length."""
    key = f"{_parts_key(shelf, stored.id)}/{start:020}-{start + size:020}"
    async with reserved(call.rooms, shelf, stored, key, size):
        written = await call.rooms.data.blobs.write(key, call.request.stream(), limit_bytes=size)
        if written.size_bytes != size:
            await call.rooms.data.blobs.remove(key)
            raise MalformedError(f"the piece has {written.size_bytes} bytes, not {size}")


async def upload_pieces(rooms: Rooms, shelf: Shelf, number: int) -> list[tuple[int, int, str]]:
    """The pieces that have arrived, from the first byte on without a gap or an overlap: start, end, key."""
    keys = sorted([found.key async for found in rooms.data.blobs.find(_parts_key(shelf, number))])
    pieces: list[tuple[int, int, str]] = []
    for key in keys:
        start, end = map(int, key.rpartition("/")[2].split("-"))
        if start != (pieces[-1][1] if pieces else 0):
            return []
        pieces.append((start, end, key))
    return pieces


async def join_pieces(call: Call, shelf: Shelf, stored: Stored, pieces: list[tuple[int, int, str]]) -> None:
    """Make the pieces the thing's bytes."""
    await _join(call, shelf, stored, [key for _start, _end, key in pieces], _new_key(shelf, stored.id))


def read_start(call: Call, size_bytes: int) -> int:
    """Where a download goes on that broke off (`Range: bytes=N-`); 0 for any other range, which need not be served (RFC 9110, 14.2)."""
    rest = _REST.fullmatch(call.request.headers.get("range", ""))
    start = int(rest[1]) if rest else 0
    return start if start < size_bytes else 0


async def redirect_or_send(rooms: Rooms, stored: Stored, start: int = 0) -> Response:
    """The thing's bytes from `start` on, or the way to them: a bucket reads the request's range itself."""
    direct = await rooms.data.blobs.direct_url(stored.blob, _DOWNLOAD_SECONDS)
    if direct is not None:
        return RedirectResponse(direct, 302, {"Cache-Control": "no-store"})
    return _send(rooms, stored, start)


async def remove_parts(rooms: Rooms, shelf: Shelf, number: int) -> None:
    """Forget the blocks of an upload that is over."""
    await rooms.data.blobs.remove(_parts_key(shelf, number))


async def remove_all(rooms: Rooms, shelf: Shelf, stored: Stored) -> None:
    """Forget the bytes of a thing that has no row any more."""
    await remove_parts(rooms, shelf, stored.id)
    if stored.blob:
        await rooms.data.blobs.remove(stored.blob)


def _send(rooms: Rooms, stored: Stored, start: int = 0) -> Response:
    """The bytes as a file to save; nothing in it can act on this origin."""
    headers = {
        **stored.headers,
        "Content-Length": str(stored.size_bytes - start),
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    if start:
        headers["Content-Range"] = f"bytes {start}-{stored.size_bytes - 1}/{stored.size_bytes}"
    return StreamingResponse(
        rooms.data.blobs.read(stored.blob, start), 206 if start else 200, headers=headers
    )


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


async def _put_block(call: Call, shelf: Shelf, stored: Stored) -> None:
    block = _single(call, "blockid") or ""
    if not 0 < len(block) <= _LONGEST_BLOCK_ID:
        raise MalformedError("'blockid' is missing or too long")
    size = call.request.headers.get("content-length", "")
    if not (size.isascii() and size.isdigit() and len(size) < _LONGEST_NUMBER):
        raise MalformedError(
            "a block says how long it is", hint="send Content-Length, as Azure's Put Block does"
        )
    key = _block_key(shelf, stored, block.encode())
    async with reserved(call.rooms, shelf, stored, key, int(size)):
        await call.rooms.data.blobs.write(key, call.request.stream(), limit_bytes=int(size))


async def _put_all(call: Call, shelf: Shelf, stored: Stored) -> None:
    async with alone(shelf, stored):
        stored = await shelf.find(call.rooms, stored.id)
        key = _new_key(shelf, stored.id)
        limit_bytes = await shelf.limit(call.rooms, stored)
        async with metered(call.rooms, shelf, stored, call.request.stream()) as chunks:
            written = await call.rooms.data.blobs.write(
                key, chunks, limit_bytes=limit_bytes, headers=stored.headers
            )
        await _mark_uploaded(call.rooms, shelf, stored, key, written)
        await remove_parts(call.rooms, shelf, stored.id)


async def _join_blocks(call: Call, shelf: Shelf, stored: Stored) -> None:
    listed = await call.raw_body(_LONGEST_LIST_BYTES)
    blocks = _BLOCK.findall(listed)
    if len(set(blocks)) < len(blocks):
        raise UsageError("the block list names a block twice")
    prefix = f"{shelf.name}/{stored.id}/{hashlib.sha256(listed).hexdigest()[:32]}"
    async with alone(shelf, stored):
        stored = await shelf.find(call.rooms, stored.id)
        if stored.blob.startswith(prefix):
            return  # the same list again: its first answer was lost
        try:
            parts = [_block_key(shelf, stored, block) for block in blocks]
            await _join(call, shelf, stored, parts, f"{prefix}{secrets.token_hex(8)}")
        except NotFoundError:
            raise UsageError("the block list names a block that was never sent") from None


async def _join(call: Call, shelf: Shelf, stored: Stored, parts: list[str], key: str) -> None:
    limit_bytes = await shelf.limit(call.rooms, stored)
    written = await call.rooms.data.blobs.join(key, parts, limit_bytes=limit_bytes, headers=stored.headers)
    await _mark_uploaded(call.rooms, shelf, stored, key, written)
    await remove_parts(call.rooms, shelf, stored.id)  # their bytes are in it, and count once


async def _mark_uploaded(rooms: Rooms, shelf: Shelf, stored: Stored, key: str, written: Written) -> None:
    is_marked = False
    try:
        async with rooms.changes.begin() as change:
            await check_room(change.connection, shelf, stored, written.size_bytes)
            is_marked = await shelf.mark_uploaded(change.connection, stored.id, key, written)
    except (ConflictError, TooLargeError):
        await rooms.data.blobs.remove(key)
        raise
    if not is_marked:
        await rooms.data.blobs.remove(key)
        raise ConflictError("it was completed or deleted meanwhile")
    if stored.blob:
        await rooms.data.blobs.remove(stored.blob)


def _new_key(shelf: Shelf, number: int) -> str:
    return f"{shelf.name}/{number}/{secrets.token_hex(8)}"


def _parts_key(shelf: Shelf, number: int) -> str:
    return f"parts/{shelf.name}/{number}"


def _block_key(shelf: Shelf, stored: Stored, block: bytes) -> str:
    return f"{_parts_key(shelf, stored.id)}/{hashlib.sha256(block).hexdigest()}"


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
