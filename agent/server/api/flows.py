"""`/api/v1/flows`: the flows that the server knows, by name where they are stored here, and by number all of them."""

import msgspec
from starlette.responses import Response

from agent.server.api.run_starts import Inputs, RunStarted, answer_started
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access, check_role
from agent.server.people.auth.roles import Role
from agent.server.process.paging import LongPage, Next
from agent.server.triggers.known_flows import FlowDetails, FlowView, Spec

_PATH = f"{V1}/flows/{{name}}"


class FlowText(msgspec.Struct, forbid_unknown_fields=True):
    """A flow to be stored."""

    text: str
    dialect: str | None = None
    called: dict[str, str] = {}  # the texts of the flows that it calls, by reference


class StoredDispatchBody(msgspec.Struct, forbid_unknown_fields=True):
    """Values for the flow's inputs; which of its jobs are to run, with what they need (none: all of them); and another text than
    its own to run this once, or from now on (`make_default`).
    """

    inputs: Inputs = {}
    jobs: list[str] = []
    spec: FlowText | None = None
    make_default: bool = False


class FlowList(msgspec.Struct):
    """The project's flows."""

    flows: list[FlowView]
    next: Next


async def list_flows(call: Call) -> Response:
    """The flows of the project: stored ones, and those of repositories' default branches."""
    flows = call.rooms.triggers.flows
    return view_response(FlowList(*await flows.list_of(call.project.id, call.query(LongPage))))


async def show_flow(call: Call) -> Response:
    """One flow with its text."""
    return view_response(await call.rooms.triggers.flows.load(call.project.id, call.text("name")))


async def put_flow(call: Call) -> Response:
    """Store a flow."""
    body, flows = await call.body(FlowText), call.rooms.triggers.flows
    stored = await flows.put(call.project.id, call.text("name"), body.text, body.dialect, body.called)
    return view_response(stored)


async def delete_flow(call: Call) -> Response:
    """Forget a stored flow; its runs stay."""
    await call.rooms.triggers.flows.remove(call.project.id, call.text("name"))
    return empty_response()


async def enable_flow(call: Call) -> Response:
    """Let a flow start by itself again."""
    return await _set_enabled(call, is_enabled=True)


async def disable_flow(call: Call) -> Response:
    """Let a flow start no more."""
    return await _set_enabled(call, is_enabled=False)


async def dispatch_flow(call: Call) -> Response:
    """Start a flow by hand, with typed inputs, by its own text or another."""
    body, flows = await call.body(StoredDispatchBody), call.rooms.triggers.flows
    spec = None if body.spec is None else Spec(body.spec.text, body.spec.dialect, body.spec.called)
    if body.make_default:
        check_role(call.caller, Role.MAINTAINER, call.project.id, call.project.name)
    run = await flows.dispatch(
        *(call.project.id, call.text("name"), body.inputs, call.caller),
        jobs=tuple(body.jobs),
        spec=spec,
        makes_default=body.make_default,
    )
    return answer_started(call, run)


async def _set_enabled(call: Call, *, is_enabled: bool) -> Response:
    flows = call.rooms.triggers.flows
    return view_response(await flows.set_enabled(call.project.id, call.text("name"), is_enabled=is_enabled))


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
        body=StoredDispatchBody,
        answers={201: RunStarted},
        problems=(409,),
    ),
)
