"""`/api/v1/variables` of a project and its environments, `/api/v1/organisation/variables`: what flows see as `vars.NAME`."""

import msgspec
from starlette.responses import Response

from agent.server.api.levels import (
    ORGANISATION,
    Handlers,
    Named,
    delete_at,
    list_at,
    make_operations,
    read_level,
)
from agent.server.http.call import Call, view_response
from agent.server.people.auth.access import Access
from agent.server.people.levels import Level
from agent.server.people.named_values import VariableView
from agent.server.process.paging import Next


class VariableBody(msgspec.Struct, forbid_unknown_fields=True):
    """The value of a variable."""

    value: str


class VariableList(msgspec.Struct):
    """Variables by name."""

    variables: list[VariableView]
    next: Next


async def list_variables(call: Call) -> Response:
    """All variables that flows of the project may read, with the level at which each is set."""
    return view_response(VariableList(*await list_at(call, call.rooms.people.variables, call.project.id)))


async def put_variable(call: Call) -> Response:
    """Set a variable of the project, or of an environment."""
    return await _put(call, read_level(call))


async def delete_variable(call: Call) -> Response:
    """Forget a variable of the project, or of an environment."""
    return await delete_at(call, call.rooms.people.variables, read_level(call))


async def list_shared(call: Call) -> Response:
    """The organisation's variables: flows of all projects may read them."""
    return view_response(VariableList(*await list_at(call, call.rooms.people.variables, ORGANISATION)))


async def put_shared(call: Call) -> Response:
    """Set a variable of the organisation."""
    return await _put(call, Level())


async def delete_shared(call: Call) -> Response:
    """Forget a variable of the organisation."""
    return await delete_at(call, call.rooms.people.variables, Level())


async def _put(call: Call, level: Level) -> Response:
    body = await call.body(VariableBody)
    return view_response(Named(await call.rooms.people.variables.put(level, call.text("name"), body.value)))


OPERATIONS = make_operations(
    "variables",
    Handlers(list_variables, put_variable, delete_variable, list_shared, put_shared, delete_shared),
    readers=Access.VIEWER,
    body=VariableBody,
    listed=VariableList,
)
