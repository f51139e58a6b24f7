"""`/api/v1/secrets`: names are shown, values never."""

import msgspec
from starlette.responses import Response

from agent.server.call import Call, empty_response, json_response
from agent.server.store import settings
from agent.server.views import time_text


class SecretBody(msgspec.Struct, forbid_unknown_fields=True):
    """The value of a secret; it shows in no repr."""

    value: str

    def __repr__(self) -> str:
        return "SecretBody(...)"


async def list_secrets(call: Call) -> Response:
    """The names."""
    async with call.services.database.read() as connection:
        found = await settings.list_secrets(connection)
    return json_response(
        {"secrets": [{"name": name, "updated": time_text(updated)} for name, updated in found.items()]}
    )


async def put_secret(call: Call) -> Response:
    """Set a secret."""
    body = await call.body(SecretBody)
    async with call.services.changes.begin() as change:
        name = await call.services.vault.put(change.connection, call.text("name"), body.value, change.now)
    return json_response({"name": name})


async def delete_secret(call: Call) -> Response:
    """Forget a secret."""
    async with call.services.changes.begin() as change:
        await call.services.vault.remove(change.connection, call.text("name"))
    return empty_response()
