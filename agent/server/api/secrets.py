"""`/api/v1/secrets`: names are shown, values never."""

import msgspec
from starlette.responses import Response

from agent.server.auth.access import Access
from agent.server.call import Call, empty_response, view_response
from agent.server.operation import V1, Operation
from agent.server.store import settings
from agent.server.views import Moment, Named, time_text


class SecretBody(msgspec.Struct, forbid_unknown_fields=True):
    """The value of a secret; it shows in no repr."""

    value: str

    def __repr__(self) -> str:
        return "SecretBody(...)"


class SecretView(msgspec.Struct):
    """A secret's name, and when it was set."""

    name: str
    updated: Moment | None


class SecretList(msgspec.Struct):
    """All names."""

    secrets: list[SecretView]


async def list_secrets(call: Call) -> Response:
    """The names."""
    async with call.services.database.read() as connection:
        found = await settings.list_secrets(connection)
    return view_response(
        SecretList([SecretView(name, time_text(updated)) for name, updated in found.items()])
    )


async def put_secret(call: Call) -> Response:
    """Set a secret."""
    body = await call.body(SecretBody)
    async with call.services.changes.begin() as change:
        name = await call.services.vault.put(change.connection, call.text("name"), body.value, change.now)
    return view_response(Named(name))


async def delete_secret(call: Call) -> Response:
    """Forget a secret."""
    async with call.services.changes.begin() as change:
        await call.services.vault.remove(change.connection, call.text("name"))
    return empty_response()


OPERATIONS = (
    Operation("GET", f"{V1}/secrets", Access.MAINTAINER, list_secrets, answers={200: SecretList}),
    Operation(
        "PUT", f"{V1}/secrets/{{name}}", Access.MAINTAINER, put_secret, body=SecretBody, answers={200: Named}
    ),
    Operation("DELETE", f"{V1}/secrets/{{name}}", Access.MAINTAINER, delete_secret),
)
