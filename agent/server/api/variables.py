"""`/api/v1/variables` of a project and its environments, `/api/v1/organisation/variables`: what flows see as `vars.NAME`."""

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError
from agent.server.api.level import LevelQuery, read_level
from agent.server.events.views import Moment, Named, time_text
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.http.paging import LongPage, Next, part
from agent.server.people.auth.access import Access
from agent.server.people.vault import check_name, check_room, check_value
from agent.server.store import settings
from agent.server.store.settings import Level, VariableRow


class VariableBody(msgspec.Struct, forbid_unknown_fields=True):
    """The value of a variable."""

    value: str


class VariableView(msgspec.Struct):
    """A variable, and where it is set."""

    name: str
    value: str
    level: str
    environment: str
    updated: Moment | None


class VariableList(msgspec.Struct):
    """Variables by name."""

    variables: list[VariableView]
    next: Next


async def list_variables(call: Call) -> Response:
    """All variables that flows of the project may read, with the level at which each is set."""
    return await _list(call, call.project.id)


async def put_variable(call: Call) -> Response:
    """Set a variable of the project, or of an environment."""
    return await _put(call, read_level(call))


async def delete_variable(call: Call) -> Response:
    """Forget a variable of the project, or of an environment."""
    return await _delete(call, read_level(call))


async def list_shared(call: Call) -> Response:
    """The organisation's variables: flows of all projects may read them."""
    return await _list(call, 0)


async def put_shared(call: Call) -> Response:
    """Set a variable of the organisation."""
    return await _put(call, Level())


async def delete_shared(call: Call) -> Response:
    """Forget a variable of the organisation."""
    return await _delete(call, Level())


async def _list(call: Call, project: int) -> Response:
    async with call.rooms.database.read() as connection:
        found = await settings.list_variables(connection, project)
    rows, after = part(found, call.query(LongPage), lambda row: row.key, tuple[int, str, str])
    return view_response(VariableList([_view(row) for row in rows], after))


async def _put(call: Call, level: Level) -> Response:
    body = await call.body(VariableBody)
    name = check_name(call.text("name"), "variable")
    async with call.rooms.changes.begin() as change:
        count = await settings.count_variables(change.connection, level, but=name)
        check_room(level, count, "variables")
        value = check_value(body.value, name, "variable")
        await settings.put_variable(change.connection, level, name, value, change.now)
    return view_response(Named(name))


async def _delete(call: Call, level: Level) -> Response:
    async with call.rooms.changes.begin() as change:
        if not await settings.remove_variable(change.connection, level, call.text("name").upper()):
            raise NotFoundError(
                f"there is no variable '{call.text('name')[:80]}' at this level", where=level.name
            )
    return empty_response()


def _view(row: VariableRow) -> VariableView:
    return VariableView(row.name, row.value, row.level.name, row.level.environment, time_text(row.updated_at))


_OWN, _SHARED = f"{V1}/variables", f"{V1}/organisation/variables"
OPERATIONS = (
    Operation("GET", _OWN, Access.VIEWER, list_variables, query=LongPage, answers={200: VariableList}),
    Operation(
        "PUT",
        f"{_OWN}/{{name}}",
        Access.MAINTAINER,
        put_variable,
        query=LevelQuery,
        body=VariableBody,
        answers={200: Named},
    ),
    Operation("DELETE", f"{_OWN}/{{name}}", Access.MAINTAINER, delete_variable, query=LevelQuery),
    Operation("GET", _SHARED, Access.ORGANISATION, list_shared, query=LongPage, answers={200: VariableList}),
    Operation(
        "PUT", f"{_SHARED}/{{name}}", Access.ORGANISATION, put_shared, body=VariableBody, answers={200: Named}
    ),
    Operation("DELETE", f"{_SHARED}/{{name}}", Access.ORGANISATION, delete_shared),
)
