"""`/api/v1/repositories`: what the server is connected to, and whose webhooks start flows."""

import json
from typing import Any, Literal

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError
from agent.server.events.views import Moment, RunStarted, time_text
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import LongPage, Next, part
from agent.server.process.problems import ConflictError
from agent.server.runs.platform_events import TRIGGERS
from agent.server.store import deliveries, flows, repositories
from agent.server.store.repositories import RepositoryRow
from agent.server.triggers.connected import Connecting
from agent.server.triggers.dispatching import dispatch_at
from agent.server.triggers.from_platform import dump_content
from agent.server.triggers.inbox import check_payload
from agent.server.triggers.starting import new_key

_PATH = f"{V1}/repositories/{{repository}}"
Provider = Literal["github", "gitea", "gitlab", "git"]
Forks = Literal["approve", "run", "never"]


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


class RepositoryView(msgspec.Struct, kw_only=True):
    """A repository. `problem`: why it could not be read last time."""

    id: str
    name: str
    provider: Provider
    url: str
    api_url: str
    default_branch: str
    folders: list[str]
    forks: Forks
    reports_status: bool
    has_token: bool
    webhook: str | None
    head: str
    problem: str
    synced: Moment | None
    created: Moment | None


class ConnectedView(RepositoryView, kw_only=True):
    """A repository that was just connected: the only place that shows its webhook's secret."""

    secret: str


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
    """A flow (its path, or its file's name), and the branch or tag to start it at."""

    flow: str
    ref: str = ""
    inputs: dict[str, str | int | float | bool] = {}


async def list_repositories(call: Call) -> Response:
    """The repositories that are connected."""
    async with call.rooms.database.read() as connection:
        found = await repositories.list_repositories(connection, call.project.id)
    rows, after = part(found, call.query(LongPage), lambda row: (row.name, row.id), tuple[str, str])
    return view_response(RepositoryList([RepositoryView(**_facts(call, row)) for row in rows], after))


async def connect_repository(call: Call) -> Response:
    """Connect a repository; the answer is the only place that shows its webhook's secret."""
    body = await call.body(RepositoryBody)
    row, secret = await call.rooms.triggers.connected.connect(call.project.id, _wanted(body))
    return view_response(ConnectedView(**_facts(call, row), secret=secret), 201)


async def show_repository(call: Call) -> Response:
    """One repository."""
    row = await call.rooms.triggers.connected.load(call.text("repository"))
    return view_response(RepositoryView(**_facts(call, row)))


async def change_repository(call: Call) -> Response:
    """Change what is said of a repository."""
    body = await call.body(RepositoryBody)
    connected = call.rooms.triggers.connected
    row = await connected.change(await connected.load(call.text("repository")), _wanted(body))
    return view_response(RepositoryView(**_facts(call, row)))


async def remove_repository(call: Call) -> Response:
    """Forget a repository and its flows; its runs stay."""
    connected = call.rooms.triggers.connected
    await connected.remove(await connected.load(call.text("repository")))
    return empty_response()


async def sync_repository(call: Call) -> Response:
    """Fetch, and look at the flows of the default branch again; what goes wrong is its `problem`."""
    connected = call.rooms.triggers.connected
    await connected.sync(call.text("repository"))
    row = await connected.load(call.text("repository"))
    return view_response(RepositoryView(**_facts(call, row)))


async def send_event(call: Call) -> Response:
    """Send a `repository_dispatch` to the repository's flows."""
    return await add_event(call, call.text("repository"))


async def send_project_event(call: Call) -> Response:
    """Send a `repository_dispatch` to all flows of the project."""
    return await add_event(call, f"project/{call.project.id}")


async def add_event(call: Call, scope: str) -> Response:
    """Put a `repository_dispatch` into the inbox."""
    body = await call.body(EventBody)
    check_payload(body.client_payload, "the event", "client_payload")
    payload = {
        "action": body.event_type,
        "client_payload": body.client_payload,
        "sender": {"login": call.caller.name},
    }
    async with call.rooms.changes.begin() as change:
        identifier = new_key()
        number = await deliveries.add_delivery(
            change.connection,
            project=call.project.id,
            scope=scope,
            identifier=identifier,
            replay_key=identifier,
            provider="api",
            event="repository_dispatch",
            action=body.event_type,
            subject="",
            payload=dump_content(payload, call.caller.name),
            depth=0,
            now=change.now,
        )
        change.wake(TRIGGERS)
    return view_response(EventView(number), 202)


async def dispatch_flow(call: Call) -> Response:
    """Start a flow of the repository at a branch or tag."""
    body = await call.body(DispatchBody)
    triggers = call.rooms.triggers
    row = await triggers.connected.load(call.text("repository"))
    async with call.rooms.database.read() as connection:
        known = await flows.list_flows(connection, row.project, row.id)
    found = [flow for flow in known if body.flow in (flow.name, flow.name.rpartition("/")[2])]
    if not found:
        names = ", ".join(flow.name for flow in known)
        raise NotFoundError(
            f"the repository has no flow '{body.flow[:80]}'", where=row.name, hint=f"it has {names or 'none'}"
        )
    if len(found) > 1:
        raise ConflictError(f"several flows are called '{body.flow}'", hint="give its whole path")
    ref = body.ref or row.default_branch
    actor = call.caller.name
    run = await dispatch_at(
        triggers.connected, triggers.starter, row, found[0], ref, body.inputs, actor=actor
    )
    return view_response(RunStarted(run, call.page_url(run)), 201)


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


def _facts(call: Call, row: RepositoryRow) -> dict[str, Any]:
    has_hook = row.provider != "git"
    return {
        "id": row.id,
        "name": row.name,
        "provider": row.provider,
        "url": row.url,
        "api_url": row.api_url,
        "default_branch": row.default_branch,
        "folders": json.loads(row.folders),
        "forks": row.forks,
        "reports_status": row.reports_status,
        "has_token": row.credentials is not None,
        "webhook": f"{call.base_url}/hooks/{row.provider}/{row.id}" if has_hook else None,
        "head": row.head,
        "problem": row.problem,
        "synced": time_text(row.synced_at),
        "created": time_text(row.created_at),
    }


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
