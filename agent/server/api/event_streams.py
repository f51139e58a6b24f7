"""Server-sent events (WHATWG HTML, 9.2): written here, read on from `Last-Event-ID`.

What a viewer has not taken is read from the store when they take it, a page at a time: a slow one costs nothing.
"""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Annotated

import msgspec
from starlette.responses import StreamingResponse

from agent.server.http.call import Call
from agent.server.process.problems import MalformedError

HEARTBEAT_SECONDS = 15.0
LARGEST = 10**18 - 1
HEARTBEAT = b": still here\n\n"
END = b"event: end\ndata: {}\n\n"


def event_bytes(kind: str, data: Mapping[str, object] | str, event_id: int | None) -> bytes:
    """One event; `data` is JSON data, or JSON text without line breaks. Without an id the last one stays."""
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    head = "" if event_id is None else f"id: {event_id}\n"
    return f"{head}event: {kind}\ndata: {text}\n\n".encode()


class Resume(msgspec.Struct, forbid_unknown_fields=True):
    """Where to go on, for those who can't send the header `Last-Event-ID`."""

    after: Annotated[int, msgspec.Meta(ge=0, le=LARGEST)] = 0


def last_event_id(call: Call) -> int:
    """Where the viewer wants to go on; 0 is the beginning. Raises MalformedError."""
    return read_last_event_id(call.request.headers.get("last-event-id") or str(call.query(Resume).after))


def read_last_event_id(given: str) -> int:
    """The number in the header `Last-Event-ID`. Raises MalformedError."""
    if not given.isascii() or not given.isdigit() or len(given) > 18:
        raise MalformedError("Last-Event-ID is not one of ours")
    return int(given)


def stream_response(events: AsyncIterator[bytes]) -> StreamingResponse:
    """A response that sends `events` as they come."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)
