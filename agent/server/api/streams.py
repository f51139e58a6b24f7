"""`/streams/PROJECT/PATH`: where records are sent to deployed flows. Answered when they are kept."""

import msgspec
from starlette.responses import Response

from agent.server.http.call import Call, view_response
from agent.server.http.operation import ANY, Operation
from agent.server.people.auth.access import Access
from agent.server.process.idempotency import HEADER
from agent.server.streams.sent import read_sent
from agent.spec.stages import receive_path


class KeptRecord(msgspec.Struct):
    """The identifier of a record that is kept now: whatever happens, it reaches the flow once at least."""

    id: str


async def _receive_record(call: Call) -> Response:
    request, doors = call.request, call.rooms.streams.doors
    where = (call.text("stream"), receive_path(call.text("path")), request.method, request.headers)
    await doors.open(*where, None)
    body = await call.raw_body(call.rooms.process.limits.stream_bytes)
    door = await doors.open(*where, body)
    headers = request.headers
    sent = read_sent(headers.get("content-type", ""), body, request.query_params, headers.get(HEADER, ""))
    kept = await call.rooms.streams.intake.keep(door.queue, sent)
    return view_response(KeptRecord(kept), 202)


async def get_record(call: Call) -> Response:
    """Send what the query says to a deployed flow whose trigger allows GET."""
    return await _receive_record(call)


async def post_record(call: Call) -> Response:
    """Send a record to a deployed flow."""
    return await _receive_record(call)


async def put_record(call: Call) -> Response:
    """Send a record to a deployed flow whose trigger allows PUT."""
    return await _receive_record(call)


async def patch_record(call: Call) -> Response:
    """Send a record to a deployed flow whose trigger allows PATCH."""
    return await _receive_record(call)


async def delete_record(call: Call) -> Response:
    """Send a record to a deployed flow whose trigger allows DELETE."""
    return await _receive_record(call)


OPERATIONS = tuple(
    Operation(
        verb,
        "/streams/{stream}/{path:path}",
        Access.DOOR,
        handler,
        query=None,
        body=ANY,
        answers={202: KeptRecord},
        problems=(404,),
    )
    for verb, handler in (
        ("GET", get_record),
        ("POST", post_record),
        ("PUT", put_record),
        ("PATCH", patch_record),
        ("DELETE", delete_record),
    )
)
