"""`/api/v1/projects`."""

import msgspec
from starlette.responses import Response

from agent.server.events.views import Moment, time_text
from agent.server.http.call import Call, view_response
from agent.server.http.operation import V1, Operation
from agent.server.http.paging import Next, Page, part
from agent.server.people import projects as domain
from agent.server.people.auth.access import Access, Caller
from agent.server.people.auth.roles import Role
from agent.server.store import projects
from agent.server.store.projects import ProjectRow, ProjectSettings


class ProjectBody(msgspec.Struct, forbid_unknown_fields=True):
    """A new project."""

    name: str
    settings: dict[str, object] = {}


class ProjectChange(msgspec.Struct, forbid_unknown_fields=True):
    """What shall be different; settings that are not named stay, null is no limit."""

    settings: dict[str, object] = {}
    archived: bool | None = None


class ProjectView(msgspec.Struct):
    """A project, and the caller's role in it."""

    id: int
    name: str
    role: str | None
    settings: ProjectSettings
    created: Moment | None
    archived: Moment | None


class ProjectList(msgspec.Struct):
    """Projects by name."""

    projects: list[ProjectView]
    next: Next


async def list_projects(call: Call) -> Response:
    """The projects that the caller has a role in, by name."""
    async with call.rooms.database.read() as connection:
        rows = await projects.list_projects(connection)
    visible = [row for row in rows if call.caller.role_in(row.id) is not None]
    page, after = part(visible, call.query(Page), lambda row: row.name, str)
    return view_response(ProjectList([view_project(row, call.caller) for row in page], after))


async def create_project(call: Call) -> Response:
    """Make a project."""
    body = await call.body(ProjectBody)
    async with call.rooms.changes.begin() as change:
        row = await domain.create_project(change, body.name, body.settings)
    return view_response(view_project(row, call.caller), 201)


async def show_project(call: Call) -> Response:
    """A project and how it is set up."""
    return view_response(view_project(call.project, call.caller))


async def change_project(call: Call) -> Response:
    """Set a project up, archive it, or open it again."""
    body = await call.body(ProjectChange)
    async with call.rooms.changes.begin() as changing:
        row = await domain.change_project(
            changing, call.project, settings=body.settings, is_archived=body.archived, caller=call.caller
        )
    return view_response(view_project(row, call.caller))


def view_project(row: ProjectRow, caller: Caller | None) -> ProjectView:
    """A project as the caller sees it; None: the operator of the server."""
    role = Role.ADMIN if caller is None else caller.role_in(row.id)
    return ProjectView(
        id=row.id,
        name=row.name,
        role=None if role is None else role.label,
        settings=row.settings,
        created=time_text(row.created_at),
        archived=time_text(row.archived_at),
    )


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
