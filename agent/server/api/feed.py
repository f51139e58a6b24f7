"""`/api/v1/events`: the changes of all runs of a project, as they happen."""

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from starlette.responses import Response

from agent.server.api import event_streams
from agent.server.events import frames
from agent.server.events.live import MACHINES, project_topic
from agent.server.http.call import Call
from agent.server.http.operation import EVENTS, V1, Operation
from agent.server.http.rooms import Rooms
from agent.server.people.auth.access import Access


class FeedQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Where to begin: behind this event, 0 for the oldest one that is kept; without it with what happens from now on."""

    after: Annotated[int, msgspec.Meta(ge=0, le=event_streams.LARGEST)] | msgspec.UnsetType = msgspec.UNSET


async def follow_project(call: Call) -> Response:
    """The changes of all runs of a project as they happen: server-sent events `run` and `job`; `agent` where a machine's GPUs change."""
    query = call.query(FeedQuery)
    after: int | None = None if query.after is msgspec.UNSET else query.after
    if "last-event-id" in call.request.headers:
        after = event_streams.read_last_event_id(call.request.headers["last-event-id"])
    if after is None:
        after = await call.rooms.runs.events.find_last()
    return event_streams.stream_response(_events(call.rooms, call.project.id, after))


async def _events(rooms: Rooms, project: int, after: int) -> AsyncIterator[bytes]:
    """Without an end: only the server's stop ends it, and then the viewer comes back."""
    yield f"id: {after}\n\n".encode()  # so that also one who saw nothing yet can go on from here
    machines = await rooms.agents.reading.list_gpus()
    with (
        rooms.bus.listen(project_topic(project), MACHINES) as listener,
        rooms.bus.listen(MACHINES) as changed,
    ):
        while not rooms.bus.is_closing:
            if changed.take():
                before, machines = machines, await rooms.agents.reading.list_gpus()
                for agent, now in machines.items():
                    if now != before.get(agent):
                        yield frames.event_bytes("agent", now, None)
            found = await rooms.runs.events.list_of_project(project, after)
            for event in found:
                after = event.id
                yield frames.event_bytes(event.kind, event.data, event.id)
            if not found and not await listener.wait(frames.HEARTBEAT_SECONDS):
                yield frames.HEARTBEAT


OPERATIONS = (
    Operation("GET", f"{V1}/events", Access.VIEWER, follow_project, query=FeedQuery, answers={200: EVENTS}),
)
