"""`/api/v1/environments`: what a project's environments ask for before a job may enter them."""

from typing import Annotated

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError, UsageError
from agent.flow.filters import explain_pattern
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import LongPage, Next, part
from agent.server.store import environments
from agent.server.store.environments import Environment

_PATH = f"{V1}/environments/{{name}}"
_LONGEST_WAIT_MINUTES = 30 * 24 * 60
_LONGEST_NAME = 255

Name = Annotated[str, msgspec.Meta(max_length=_LONGEST_NAME)]


class EnvironmentBody(msgspec.Struct, forbid_unknown_fields=True):
    """What it asks for. No `reviewers`: every maintainer is one. No `branches`: jobs of all may enter."""

    approvals: Annotated[int, msgspec.Meta(ge=0, le=6)] = 0
    reviewers: Annotated[list[Name], msgspec.Meta(max_length=100)] = []
    own_review: bool = True
    wait_minutes: Annotated[float, msgspec.Meta(ge=0, le=_LONGEST_WAIT_MINUTES)] = 0
    branches: Annotated[list[Name], msgspec.Meta(max_length=100)] = []


class EnvironmentView(EnvironmentBody, kw_only=True, forbid_unknown_fields=False):
    """An environment."""

    name: str


class EnvironmentList(msgspec.Struct):
    """A project's environments."""

    environments: list[EnvironmentView]
    next: Next


async def list_environments(call: Call) -> Response:
    """The project's environments."""
    async with call.rooms.database.read() as connection:
        found = await environments.list_environments(connection, call.project.id)
    shown, after = part(found, call.query(LongPage), lambda environment: environment.name.casefold(), str)
    return view_response(EnvironmentList([_view(environment) for environment in shown], after))


async def show_environment(call: Call) -> Response:
    """What an environment asks for."""
    async with call.rooms.database.read() as connection:
        found = await environments.find_environment(connection, call.project.id, call.text("name"))
    if found is None:
        raise _nothing(call)
    return view_response(_view(found))


async def put_environment(call: Call) -> Response:
    """Make an environment, or change what it asks for; jobs that wait already go by what they were told."""
    body = await call.body(EnvironmentBody)
    name = call.text("name").strip()
    if not name or len(name) > _LONGEST_NAME:
        raise UsageError(f"an environment's name has 1 to {_LONGEST_NAME} characters", where=name[:80])
    for pattern in body.branches:
        complaint = explain_pattern(pattern)
        if complaint:
            raise UsageError(f"the pattern '{pattern}' {complaint}", where="branches")
    environment = Environment(
        name,
        body.approvals,
        tuple(body.reviewers),
        body.own_review,
        body.wait_minutes,
        tuple(body.branches),
    )
    async with call.rooms.changes.begin() as change:
        await environments.put_environment(change.connection, call.project.id, environment, change.now)
    return view_response(_view(environment))


async def delete_environment(call: Call) -> Response:
    """Forget an environment: it asks for nothing any more."""
    async with call.rooms.changes.begin() as change:
        if not await environments.remove_environment(change.connection, call.project.id, call.text("name")):
            raise _nothing(call)
    return empty_response()


def _nothing(call: Call) -> NotFoundError:
    return NotFoundError(f"there is no environment '{call.text('name')}'")


def _view(environment: Environment) -> EnvironmentView:
    return EnvironmentView(
        name=environment.name,
        approvals=environment.approvals,
        reviewers=list(environment.reviewers),
        own_review=environment.is_own_review_allowed,
        wait_minutes=environment.wait_minutes,
        branches=list(environment.branches),
    )


OPERATIONS = (
    Operation(
        "GET",
        f"{V1}/environments",
        Access.VIEWER,
        list_environments,
        query=LongPage,
        answers={200: EnvironmentList},
    ),
    Operation("GET", _PATH, Access.VIEWER, show_environment, answers={200: EnvironmentView}),
    Operation(
        "PUT",
        _PATH,
        Access.MAINTAINER,
        put_environment,
        body=EnvironmentBody,
        answers={200: EnvironmentView},
    ),
    Operation("DELETE", _PATH, Access.MAINTAINER, delete_environment),
)
