"""`/api/v1/variables`: what flows see as `vars.NAME`."""

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError
from agent.server.auth.access import Access
from agent.server.call import Call, empty_response, view_response
from agent.server.operation import V1, Operation
from agent.server.store import settings
from agent.server.vault import check_name
from agent.server.views import Moment, Named, time_text


class VariableBody(msgspec.Struct, forbid_unknown_fields=True):
    """The value of a variable."""

    value: str


class VariableView(msgspec.Struct):
    """A variable."""

    name: str
    value: str
    updated: Moment | None


class VariableList(msgspec.Struct):
    """All variables."""

    variables: list[VariableView]


async def list_variables(call: Call) -> Response:
    """Names and values."""
    async with call.services.database.read() as connection:
        found = await settings.list_variables(connection)
    shown = [VariableView(name, value, time_text(updated)) for name, (value, updated) in found.items()]
    return view_response(VariableList(shown))


async def put_variable(call: Call) -> Response:
    """Set a variable."""
    body = await call.body(VariableBody)
    name = check_name(call.text("name"), "variable")
    async with call.services.changes.begin() as change:
        await settings.put_variable(change.connection, name, body.value, change.now)
    return view_response(Named(name))


async def delete_variable(call: Call) -> Response:
    """Forget a variable."""
    async with call.services.changes.begin() as change:
        if not await settings.remove_variable(change.connection, call.text("name").upper()):
            raise NotFoundError(f"there is no variable '{call.text('name')}'")
    return empty_response()


OPERATIONS = (
    Operation("GET", f"{V1}/variables", Access.VIEWER, list_variables, answers={200: VariableList}),
    Operation(
        "PUT",
        f"{V1}/variables/{{name}}",
        Access.MAINTAINER,
        put_variable,
        body=VariableBody,
        answers={200: Named},
    ),
    Operation("DELETE", f"{V1}/variables/{{name}}", Access.MAINTAINER, delete_variable),
)
