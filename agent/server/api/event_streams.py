"""Server-sent events (WHATWG HTML, 9.2): written here, read on from `Last-Event-ID`."""

import json
from collections.abc import AsyncIterator, Mapping

from starlette.requests import Request
from starlette.responses import StreamingResponse

from agent.server.problems import MalformedError

HEARTBEAT_SECONDS = 15.0
HEARTBEAT = b": still here\n\n"
END = b"event: end\ndata: {}\n\n"


def event_bytes(kind: str, data: Mapping[str, object] | str, event_id: int | None) -> bytes:
    """One event; `data` is JSON data, or JSON text without line breaks. Without an id the last one stays."""
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    head = "" if event_id is None else f"id: {event_id}\n"
    return f"{head}event: {kind}\ndata: {text}\n\n".encode()


def last_event_id(request: Request) -> int:
    """Where the viewer wants to go on; 0 is the beginning. Raises MalformedError."""
    given = request.headers.get("last-event-id") or request.query_params.get("after") or "0"
    if not given.isascii() or not given.isdigit() or len(given) > 18:
        raise MalformedError("Last-Event-ID is not one of ours")
    return int(given)


def stream_response(events: AsyncIterator[bytes]) -> StreamingResponse:
    """A response that sends `events` as they come."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)
