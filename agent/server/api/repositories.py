"""`/api/v1/repositories`: what the server is connected to, and whose webhooks start flows."""

import msgspec
from starlette.responses import Response

from agent.server.api.run_starts import Inputs, RunStarted, answer_started
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import LongPage, Next
from agent.server.triggers.connected import Connecting
from agent.server.triggers.inbox import check_payload
from agent.server.triggers.repository_reading import (
    ConnectedView,
    Forks,
    Provider,
    RepositoryView,
    view_connected,
    view_repository,
)

_PATH = f"{V1}/repositories/{{repository}}"


class RepositoryBody(msgspec.Struct, forbid_unknown_fields=True):
    """What there is to say of a repository; what is left out stays as it is, or is found out."""

    url: str | None = None
    name: str | None = None
    provider: Provider | None = None
    api_url: str | None = None
    default_branch: str | None = None
    folders: list[str] | None = None
    forks: Forks | None = None
    reports_status: bool | None = None
    token: str | None = None  # `TOKEN` or `USER:TOKEN`; it shows in no repr
    secret: str | None = None  # of the webhook; one is made when it is left out

    def __repr__(self) -> str:
        return f"RepositoryBody(url={self.url!r})"


class RepositoryList(msgspec.Struct):
    """The project's repositories."""

    repositories: list[RepositoryView]
    next: Next


class EventBody(msgspec.Struct, forbid_unknown_fields=True):
    """A `repository_dispatch`."""

    event_type: str
    client_payload: dict[str, object] = {}


class EventView(msgspec.Struct):
    """The delivery that it became."""

    delivery: int | None


class DispatchBody(msgspec.Struct, forbid_unknown_fields=True):
    """A flow (its path, or its file's name), the branch or tag to start it at, and which of its jobs."""

    flow: str
    ref: str = ""
    inputs: Inputs = {}
    jobs: list[str] = []  # with what they need; none: all of them


async def list_repositories(call: Call) -> Response:
    """The repositories that are connected."""
    reading, page = call.rooms.triggers.repositories, call.query(LongPage)
    return view_response(RepositoryList(*await reading.list_of(call.project.id, page, call.base_url)))


async def connect_repository(call: Call) -> Response:
    """Connect a repository; the answer is the only place that shows its webhook's secret."""
    body = await call.body(RepositoryBody)
    row, secret = await call.rooms.triggers.connected.connect(call.project.id, _wanted(body))
    return view_response(view_connected(row, call.base_url, secret), 201)


async def show_repository(call: Call) -> Response:
    """One repository."""
    row = await call.rooms.triggers.connected.load(call.text("repository"))
    return view_response(view_repository(row, call.base_url))


async def change_repository(call: Call) -> Response:
    """Change what is said of a repository."""
    body = await call.body(RepositoryBody)
    connected = call.rooms.triggers.connected
    row = await connected.change(await connected.load(call.text("repository")), _wanted(body))
    return view_response(view_repository(row, call.base_url))


async def remove_repository(call: Call) -> Response:
    """Forget a repository and its flows; its runs stay."""
    connected = call.rooms.triggers.connected
    await connected.remove(await connected.load(call.text("repository")))
    return empty_response()


async def sync_repository(call: Call) -> Response:
    """Fetch, and look at the flows of the default branch again; what goes wrong is its `problem`."""
    await call.rooms.triggers.connected.sync(call.text("repository"))
    return await show_repository(call)


async def send_event(call: Call) -> Response:
    """Send a `repository_dispatch` to the repository's flows."""
    return await _send_event(call, call.text("repository"))


async def send_project_event(call: Call) -> Response:
    """Send a `repository_dispatch` to all flows of the project."""
    return await _send_event(call, f"project/{call.project.id}")


async def dispatch_flow(call: Call) -> Response:
    """Start a flow of the repository at a branch or tag."""
    body, flows = await call.body(DispatchBody), call.rooms.triggers.flows
    run = await flows.dispatch_at(
        call.text("repository"), body.flow, body.ref, body.inputs, call.caller, tuple(body.jobs)
    )
    return answer_started(call, run)


async def _send_event(call: Call, scope: str) -> Response:
    body = await call.body(EventBody)
    check_payload(body.client_payload, "the event", "client_payload")
    number = await call.rooms.triggers.deliveries.add_dispatch(
        call.project.id, scope, body.event_type, body.client_payload, call.caller.name
    )
    return view_response(EventView(number), 202)


def _wanted(body: RepositoryBody) -> Connecting:
    return Connecting(
        name=body.name,
        provider=body.provider,
        url=body.url,
        api_url=body.api_url,
        default_branch=body.default_branch,
        folders=None if body.folders is None else tuple(body.folders),
        forks=body.forks,
        reports_status=body.reports_status,
        credentials=body.token,
        secret=body.secret,
    )


OPERATIONS = (
    Operation(
        "GET",
        f"{V1}/repositories",
        Access.VIEWER,
        list_repositories,
        query=LongPage,
        answers={200: RepositoryList},
    ),
    Operation(
        "POST",
        f"{V1}/repositories",
        Access.ADMIN,
        connect_repository,
        body=RepositoryBody,
        answers={201: ConnectedView},
        problems=(404, 409),
    ),
    Operation("GET", _PATH, Access.VIEWER, show_repository, answers={200: RepositoryView}),
    Operation(
        "PATCH",
        _PATH,
        Access.ADMIN,
        change_repository,
        body=RepositoryBody,
        answers={200: RepositoryView},
    ),
    Operation("DELETE", _PATH, Access.ADMIN, remove_repository),
    Operation(
        "POST",
        f"{_PATH}/sync",
        Access.MAINTAINER,
        sync_repository,
        answers={200: RepositoryView},
    ),
    Operation("POST", f"{_PATH}/events", Access.RUNNER, send_event, body=EventBody, answers={202: EventView}),
    Operation(
        "POST", f"{V1}/events", Access.RUNNER, send_project_event, body=EventBody, answers={202: EventView}
    ),
    Operation(
        "POST",
        f"{_PATH}/dispatch",
        Access.RUNNER,
        dispatch_flow,
        body=DispatchBody,
        answers={201: RunStarted},
        problems=(409, 502),
    ),
)
