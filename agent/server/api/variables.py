"""`/api/v1/variables`: what flows see as `vars.NAME`."""

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError
from agent.server.call import Call, empty_response, json_response
from agent.server.store import settings
from agent.server.vault import check_name
from agent.server.views import time_text


class VariableBody(msgspec.Struct, forbid_unknown_fields=True):
    """The value of a variable."""

    value: str


async def list_variables(call: Call) -> Response:
    """Names and values."""
    async with call.services.database.read() as connection:
        found = await settings.list_variables(connection)
    shown = [
        {"name": name, "value": value, "updated": time_text(updated)}
        for name, (value, updated) in found.items()
    ]
    return json_response({"variables": shown})


async def put_variable(call: Call) -> Response:
    """Set a variable."""
    body = await call.body(VariableBody)
    name = check_name(call.text("name"), "variable")
    async with call.services.changes.begin() as change:
        await settings.put_variable(change.connection, name, body.value, change.now)
    return json_response({"name": name})


async def delete_variable(call: Call) -> Response:
    """Forget a variable."""
    async with call.services.changes.begin() as change:
        if not await settings.remove_variable(change.connection, call.text("name").upper()):
            raise NotFoundError(f"there is no variable '{call.text('name')}'")
    return empty_response()
