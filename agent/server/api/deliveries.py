"""`/api/v1/deliveries`: what arrived, and what became of it: why a push did not start anything, in words."""

import msgspec
from starlette.responses import Response

from agent.server.http.call import Call, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import Next, Page
from agent.server.triggers.delivery_book import DeliveryView, ShownStatus

_PATH = f"{V1}/deliveries/{{delivery:int}}"


class DeliveryQuery(Page):
    """Which deliveries."""

    repository: str | msgspec.UnsetType = msgspec.UNSET
    status: ShownStatus | msgspec.UnsetType = msgspec.UNSET


class DeliveryList(msgspec.Struct):
    """Deliveries, newest first."""

    deliveries: list[DeliveryView]
    next: Next


async def list_deliveries(call: Call) -> Response:
    """Deliveries, newest first."""
    query = call.query(DeliveryQuery)
    found = await call.rooms.triggers.deliveries.list_of(
        call.project.id, query, repository=query.repository or None, status=query.status or None
    )
    return view_response(DeliveryList(*found))


async def show_delivery(call: Call) -> Response:
    """One delivery."""
    return view_response(await call.rooms.triggers.deliveries.load(call.number("delivery")))


async def approve_delivery(call: Call) -> Response:
    """Let what a stranger's request to merge wants to run go on, for exactly the commits that it was about."""
    return view_response(await call.rooms.triggers.deliveries.approve(call.number("delivery")))


async def repeat_delivery(call: Call) -> Response:
    """Work a delivery off again; what it has started is not started twice."""
    return view_response(await call.rooms.triggers.deliveries.repeat(call.number("delivery")))


OPERATIONS = (
    Operation(
        "GET",
        f"{V1}/deliveries",
        Access.VIEWER,
        list_deliveries,
        query=DeliveryQuery,
        answers={200: DeliveryList},
    ),
    Operation("GET", _PATH, Access.VIEWER, show_delivery, answers={200: DeliveryView}),
    Operation(
        "POST",
        f"{_PATH}/approve",
        Access.MAINTAINER,
        approve_delivery,
        answers={200: DeliveryView},
        problems=(409,),
    ),
    Operation(
        "POST",
        f"{_PATH}/repeat",
        Access.MAINTAINER,
        repeat_delivery,
        answers={200: DeliveryView},
        problems=(409,),
    ),
)
