"""Downloads of stored bytes: sent as a file to save, or the way to a bucket that has them."""

import re
from typing import Final

from starlette.responses import RedirectResponse, Response, StreamingResponse

from agent.server.data.shelves import Stored
from agent.server.http.call import Call
from agent.server.http.rooms import Rooms

DOWNLOAD_SECONDS: Final = 3600.0
_REST: Final = re.compile(r"bytes=([0-9]{1,18})-")


async def redirect_or_send(call: Call, stored: Stored) -> Response:
    """The thing's bytes, or the way to them: a bucket reads the request's range itself.

    From us a download that broke off goes on (`Range: bytes=N-`); any other range need not be served (RFC 9110, 14.2).
    """
    if stored.is_tree:
        return await send_tree(call.rooms, stored, follows_links=False)
    direct = await call.rooms.data.blobs.direct_url(stored.blob, DOWNLOAD_SECONDS)
    if direct is not None:
        return RedirectResponse(direct, 302, {"Cache-Control": "no-store"})
    rest = _REST.fullmatch(call.request.headers.get("range", ""))
    start = int(rest[1]) if rest else 0
    return send(call.rooms, stored, start if start < stored.size_bytes else 0)


async def send_tree(rooms: Rooms, stored: Stored, *, follows_links: bool) -> Response:
    """A tree's zip, which is made while it is sent."""
    found = await rooms.data.trees.open_zip(stored.id, stored.blob, follows_links=follows_links)
    return StreamingResponse(found.pieces, headers=_headers(stored, found.size_bytes))


def send(rooms: Rooms, stored: Stored, start: int = 0) -> Response:
    """The bytes from `start` on as a file to save; nothing in it can act on this origin."""
    headers = _headers(stored, stored.size_bytes - start)
    if start:
        headers["Content-Range"] = f"bytes {start}-{stored.size_bytes - 1}/{stored.size_bytes}"
    return StreamingResponse(
        rooms.data.blobs.read(stored.blob, start), 206 if start else 200, headers=headers
    )


def _headers(stored: Stored, size_bytes: int) -> dict[str, str]:
    return {
        **stored.headers,
        "Content-Length": str(size_bytes),
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
