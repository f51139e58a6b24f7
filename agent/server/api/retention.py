"""`/api/v1/retention`: what is too old or left over, shown, or let go now instead of at the next hour."""

import msgspec
from starlette.responses import Response

from agent.server.data.retention import Doomed
from agent.server.http.call import Call, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access


class DoomedView(msgspec.Struct):
    """Something that goes."""

    kind: str
    name: str
    project: str
    size_bytes: int


class RetentionView(msgspec.Struct):
    """All that goes, and how many bytes that is."""

    items: list[DoomedView]
    size_bytes: int


async def show_doomed(call: Call) -> Response:
    """What would go now; nothing is changed."""
    return view_response(_view([doomed async for doomed in call.rooms.data.retention.find()]))


async def apply(call: Call) -> Response:
    """Let it go now: what has gone."""
    return view_response(_view(await call.rooms.data.retention.apply()))


def _view(found: list[Doomed]) -> RetentionView:
    items = [DoomedView(one.kind, one.name, one.project, one.size_bytes) for one in found]
    return RetentionView(items, sum(one.size_bytes for one in found))


OPERATIONS = (
    Operation("GET", f"{V1}/retention", Access.ORGANISATION, show_doomed, answers={200: RetentionView}),
    Operation("POST", f"{V1}/retention", Access.ORGANISATION, apply, answers={200: RetentionView}),
)
