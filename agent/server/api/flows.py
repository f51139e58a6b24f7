"""`/api/v1/flows`: the flows that the server knows, by name where they are stored here, and by number all of them."""

import json
from typing import Any

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError, UsageError
from agent.server.events.views import Moment, RunStarted, time_text
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import LongPage, Next, part
from agent.server.store import flows
from agent.server.store.database import Connection
from agent.server.store.flows import FlowRow
from agent.server.triggers.dispatching import dispatch
from agent.server.triggers.from_platform import find_source
from agent.server.triggers.known import check_flow_name, read_stored, store_flow

_PATH = f"{V1}/flows/{{name}}"


class FlowText(msgspec.Struct, forbid_unknown_fields=True):
    """A flow to be stored."""

    text: str
    dialect: str | None = None
    called: dict[str, str] = {}  # the texts of the flows that it calls, by reference


class InputsBody(msgspec.Struct, forbid_unknown_fields=True):
    """Values for the inputs of a `workflow_dispatch`."""

    inputs: dict[str, str | int | float | bool] = {}


class ScheduleView(msgspec.Struct):
    """A time of a flow: when it comes next, and what became of it last."""

    cron: str
    timezone: str
    next: Moment | None
    started: Moment | None
    outcome: str


class FlowView(msgspec.Struct, kw_only=True):
    """A flow. `repository` null: it is stored here; else it is as the default branch has it."""

    id: int
    name: str
    title: str
    repository: str | None
    enabled: bool
    problems: list[str]
    schedules: list[ScheduleView]
    updated: Moment | None


class FlowDetails(FlowView, kw_only=True):
    """A flow with its texts."""

    text: str
    dialect: str | None
    called: dict[str, str]  # the texts of the flows that it calls, by reference


class FlowList(msgspec.Struct):
    """The project's flows."""

    flows: list[FlowView]
    next: Next


async def list_flows(call: Call) -> Response:
    """The flows of the project: stored ones, and those of repositories' default branches."""
    async with call.rooms.database.read() as connection:
        found = await flows.list_flows(connection, call.project.id)
        rows, after = part(found, call.query(LongPage), _place, tuple[str, str, int])
        shown = [FlowView(**await _facts(connection, row)) for row in rows]
    return view_response(FlowList(shown, after))


async def show_flow(call: Call) -> Response:
    """One flow with its text."""
    async with call.rooms.database.read() as connection:
        row = await _find(connection, call)
        facts = await _facts(connection, row)
    return view_response(_details(row, facts))


async def put_flow(call: Call) -> Response:
    """Store a flow."""
    body = await call.body(FlowText)
    name = check_flow_name(call.text("name"))
    threads = call.rooms.process.pools.plans
    flow = await threads.run(read_stored, name, body.text, body.dialect, body.called)
    async with call.rooms.changes.begin() as change:
        await store_flow(change, call.project.id, flow)
        row = await _find(change.connection, call)
        facts = await _facts(change.connection, row)
    return view_response(_details(row, facts))


async def delete_flow(call: Call) -> Response:
    """Forget a stored flow; its runs stay."""
    async with call.rooms.changes.begin() as change:
        row = await _find(change.connection, call)
        if row.repository is not None:
            raise UsageError(
                "the flow is a repository's: remove its file there",
                where=row.name,
                hint=f"or stop it from starting: POST {V1}/flows/{row.id}/disable",
            )
        await flows.remove_flow(change.connection, row.id)
    return empty_response()


async def enable_flow(call: Call) -> Response:
    """Let a flow start by itself again."""
    return await _set_enabled(call, is_enabled=True)


async def disable_flow(call: Call) -> Response:
    """Let a flow start no more."""
    return await _set_enabled(call, is_enabled=False)


async def dispatch_flow(call: Call) -> Response:
    """Start a flow by hand, with typed inputs."""
    body = await call.body(InputsBody)
    async with call.rooms.database.read() as connection:
        row = await _find(connection, call)
        source = await find_source(connection, row)
    run = await dispatch(call.rooms.triggers.starter, row, source, body.inputs, actor=call.caller.name)
    return view_response(RunStarted(run, call.page_url(run)), 201)


def _details(row: FlowRow, facts: dict[str, Any]) -> FlowDetails:
    return FlowDetails(**facts, text=row.text, dialect=row.dialect, called=json.loads(row.called))


def _place(row: FlowRow) -> tuple[str, str, int]:
    """Where a flow stands among the others: those that are stored here first."""
    return row.repository or "", row.name, row.id


async def _set_enabled(call: Call, *, is_enabled: bool) -> Response:
    async with call.rooms.changes.begin() as change:
        row = await _find(change.connection, call)
        await flows.set_enabled(change.connection, row.id, is_enabled=is_enabled)
        facts = await _facts(change.connection, await _find(change.connection, call))
    return view_response(FlowView(**facts))


async def _find(connection: Connection, call: Call) -> FlowRow:
    """The flow that the path names: a stored one's name, or any one's number. Raises NotFoundError."""
    name = call.text("name")
    if name.isascii() and name.isdigit() and len(name) < 18:
        row = await flows.find_flow(connection, int(name))
    else:
        row = await flows.find_named(connection, call.project.id, None, name)
    if row is None or row.project != call.project.id:
        raise NotFoundError(f"there is no flow '{name[:80]}' in this project", hint="see: agent flow list")
    return row


async def _facts(connection: Connection, row: FlowRow) -> dict[str, Any]:
    times = await flows.list_schedules(connection, row.id)
    return {
        "id": row.id,
        "name": row.name,
        "title": row.title,
        "repository": row.repository,
        "enabled": row.is_enabled,
        "problems": json.loads(row.problems),
        "schedules": [
            ScheduleView(
                time.cron, time.zone, time_text(time.due_at), time_text(time.started_at), time.outcome
            )
            for time in times
        ],
        "updated": time_text(row.updated_at),
    }


OPERATIONS = (
    Operation("GET", f"{V1}/flows", Access.VIEWER, list_flows, query=LongPage, answers={200: FlowList}),
    Operation("GET", _PATH, Access.VIEWER, show_flow, answers={200: FlowDetails}),
    Operation("PUT", _PATH, Access.MAINTAINER, put_flow, body=FlowText, answers={200: FlowDetails}),
    Operation("DELETE", _PATH, Access.MAINTAINER, delete_flow, problems=(422,)),
    Operation("POST", f"{_PATH}/enable", Access.MAINTAINER, enable_flow, answers={200: FlowView}),
    Operation("POST", f"{_PATH}/disable", Access.MAINTAINER, disable_flow, answers={200: FlowView}),
    Operation(
        "POST",
        f"{_PATH}/dispatch",
        Access.RUNNER,
        dispatch_flow,
        body=InputsBody,
        answers={201: RunStarted},
        problems=(409,),
    ),
)
