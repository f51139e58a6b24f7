"""`/api/v1/projects`."""

import msgspec
from starlette.responses import Response

from agent.server.http.call import Call, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.people.projects import ProjectView, view_project
from agent.server.process.paging import Next, Page


class ProjectBody(msgspec.Struct, forbid_unknown_fields=True):
    """A new project."""

    name: str
    settings: dict[str, object] = {}


class ProjectChange(msgspec.Struct, forbid_unknown_fields=True):
    """What shall be different; settings that are not named stay, null is no limit."""

    settings: dict[str, object] = {}
    archived: bool | None = None


class ProjectList(msgspec.Struct):
    """Projects by name."""

    projects: list[ProjectView]
    next: Next


async def list_projects(call: Call) -> Response:
    """The projects that the caller has a role in, by name."""
    projects = call.rooms.people.projects
    return view_response(ProjectList(*await projects.list_visible(call.caller, call.query(Page))))


async def create_project(call: Call) -> Response:
    """Make a project."""
    body = await call.body(ProjectBody)
    made = await call.rooms.people.projects.create(body.name, body.settings, call.caller)
    return view_response(made, 201)


async def show_project(call: Call) -> Response:
    """A project and how it is set up."""
    return view_response(view_project(call.project, call.caller))


async def change_project(call: Call) -> Response:
    """Set a project up, archive it, or open it again."""
    body = await call.body(ProjectChange)
    changed = await call.rooms.people.projects.change(
        call.project, settings=body.settings, is_archived=body.archived, caller=call.caller
    )
    return view_response(changed)


_PATH = f"{V1}/projects/{{project}}"
OPERATIONS = (
    Operation("GET", f"{V1}/projects", Access.MEMBER, list_projects, query=Page, answers={200: ProjectList}),
    Operation(
        "POST",
        f"{V1}/projects",
        Access.ORGANISATION,
        create_project,
        body=ProjectBody,
        answers={201: ProjectView},
        problems=(409,),
    ),
    Operation("GET", _PATH, Access.VIEWER, show_project, answers={200: ProjectView}),
    Operation("PATCH", _PATH, Access.ADMIN, change_project, body=ProjectChange, answers={200: ProjectView}),
)
