"""`/api/v1/environments`: what a project's environments ask for before a job may enter them."""

import msgspec
from starlette.responses import Response

from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import LongPage, Next
from agent.server.runs.environments import EnvironmentBody, EnvironmentView

_PATH = f"{V1}/environments/{{name}}"


class EnvironmentList(msgspec.Struct):
    """A project's environments."""

    environments: list[EnvironmentView]
    next: Next


async def list_environments(call: Call) -> Response:
    """The project's environments."""
    environments = call.rooms.runs.environments
    return view_response(EnvironmentList(*await environments.list_of(call.project.id, call.query(LongPage))))


async def show_environment(call: Call) -> Response:
    """What an environment asks for."""
    return view_response(await call.rooms.runs.environments.load(call.project.id, call.text("name")))


async def put_environment(call: Call) -> Response:
    """Make an environment, or change what it asks for; jobs that wait already go by what they were told."""
    body = await call.body(EnvironmentBody)
    return view_response(await call.rooms.runs.environments.put(call.project.id, call.text("name"), body))


async def delete_environment(call: Call) -> Response:
    """Forget an environment: it asks for nothing any more."""
    await call.rooms.runs.environments.remove(call.project.id, call.text("name"))
    return empty_response()


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
