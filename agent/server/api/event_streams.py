"""Server-sent events (`agent.server.events.frames`) as answers, read on from `Last-Event-ID`.

What a viewer has not taken is read from the store when they take it, a page at a time: a slow one costs nothing.
"""

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from starlette.responses import StreamingResponse

from agent.server.http.call import Call
from agent.server.process.problems import MalformedError

LARGEST = 10**18 - 1


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
