"""`/api/v1/deliveries`: what arrived, and what became of it: why a push did not start anything, in words."""

import json
from enum import StrEnum

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError
from agent.server.events.changes import Change
from agent.server.events.views import Moment, time_text
from agent.server.http.call import Call, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import Next, Page, RowId, cut, next_cursor
from agent.server.process.problems import ConflictError
from agent.server.runs.platform_events import TRIGGERS
from agent.server.store import deliveries
from agent.server.store.deliveries import DeliveryRow
from agent.server.store.states import DeliveryStatus

_PATH = f"{V1}/deliveries/{{delivery:int}}"
_MOVES = (
    "synchronize",
    "synchronized",
    "update",
    "closed",
    "close",
    "merge",
)  # after which an approval is stale


class ShownStatus(StrEnum):
    """A delivery's status, of those that are shown: all but what is gone."""

    WAITING = DeliveryStatus.WAITING.value
    HELD = DeliveryStatus.HELD.value
    DONE = DeliveryStatus.DONE.value
    FAILED = DeliveryStatus.FAILED.value


class DeliveryQuery(Page):
    """Which deliveries."""

    repository: str | msgspec.UnsetType = msgspec.UNSET
    status: ShownStatus | msgspec.UnsetType = msgspec.UNSET


class ResultView(msgspec.Struct):
    """One flow: the run that it started, or why it did not."""

    flow: str
    event: str
    run: int | None
    why: str
    problems: list[str]


class DeliveryView(msgspec.Struct, kw_only=True):
    """A delivery and what became of it."""

    id: int
    source: str
    provider: str
    identifier: str
    event: str
    action: str
    subject: str
    status: ShownStatus
    outcome: str
    results: list[ResultView]
    attempts: int
    again: Moment | None
    received: Moment | None
    finished: Moment | None


class DeliveryList(msgspec.Struct):
    """Deliveries, newest first."""

    deliveries: list[DeliveryView]
    next: Next


async def list_deliveries(call: Call) -> Response:
    """Deliveries, newest first."""
    query = call.query(DeliveryQuery)
    async with call.rooms.database.read() as connection:
        found = await deliveries.list_deliveries(
            connection,
            call.project.id,
            limit=query.limit + 1,
            before=query.after(RowId),
            scope=query.repository or None,
            status=DeliveryStatus(query.status) if query.status else None,
        )
    shown = cut(found, query.limit)
    after = next_cursor(found, query.limit, shown[-1].id if shown else 0)
    return view_response(DeliveryList([_view(row) for row in shown], after))


async def show_delivery(call: Call) -> Response:
    """One delivery."""
    return view_response(_view(await _load(call)))


async def approve_delivery(call: Call) -> Response:
    """Let what a stranger's request to merge wants to run go on, for exactly the commits that it was about."""
    row = await _load(call)
    async with call.rooms.changes.begin() as change:
        newer = await deliveries.find_newer(change.connection, row, _MOVES)
        if row.status is not DeliveryStatus.HELD:
            raise ConflictError(f"the delivery is {row.status}: there is nothing to approve")
        if newer is not None:
            raise ConflictError(
                "the request to merge has moved on since", hint=f"look at delivery {newer} instead"
            )
        await _wake(change, row, is_approved=True)
        change.wake(TRIGGERS)
    return view_response(_view(await _load(call)))


async def repeat_delivery(call: Call) -> Response:
    """Work a delivery off again; what it has started is not started twice."""
    row = await _load(call)
    async with call.rooms.changes.begin() as change:
        if row.status not in (DeliveryStatus.DONE, DeliveryStatus.FAILED) or row.provider == "webhook":
            raise ConflictError(f"the delivery is {row.status}: it can't be repeated")
        await _wake(change, row, is_approved=row.is_approved)
        change.wake(TRIGGERS)
    return view_response(_view(await _load(call)))


async def _wake(change: Change, row: DeliveryRow, *, is_approved: bool) -> None:
    if not await deliveries.wake_delivery(change.connection, row, change.now, is_approved=is_approved):
        raise ConflictError("the delivery is being worked on again already")


async def _load(call: Call) -> DeliveryRow:
    async with call.rooms.database.read() as connection:
        row = await deliveries.find_delivery(connection, call.number("delivery"))
    if row is None:
        raise NotFoundError("there is no such delivery")
    return row


def _view(row: DeliveryRow) -> DeliveryView:
    return DeliveryView(
        id=row.id,
        source=row.scope,
        provider=row.provider,
        identifier=row.identifier,
        event=row.event,
        action=row.action,
        subject=row.subject,
        status=ShownStatus(row.status),
        outcome=row.outcome,
        results=[ResultView(**result) for result in json.loads(row.results)],
        attempts=row.attempt,
        again=time_text(row.due_at),
        received=time_text(row.received_at),
        finished=time_text(row.finished_at),
    )


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
