"""`/api/v1/secrets` of a project and its environments, `/api/v1/organisation/secrets`: names are shown, values never."""

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
from agent.server.people.named_values import SecretView
from agent.server.process.paging import Next


class SecretBody(msgspec.Struct, forbid_unknown_fields=True):
    """The value of a secret, which shows in no repr; and the patterns of refs whose runs get it (none: all)."""

    value: str
    refs: list[str] = []

    def __repr__(self) -> str:
        return "SecretBody(...)"


class SecretList(msgspec.Struct):
    """Secrets by name."""

    secrets: list[SecretView]
    next: Next


async def list_secrets(call: Call) -> Response:
    """The names of all secrets that jobs of the project may get, with the level at which each is set."""
    return view_response(SecretList(*await list_at(call, call.rooms.people.secrets, call.project.id)))


async def put_secret(call: Call) -> Response:
    """Set a secret of the project, or of an environment."""
    return await _put(call, read_level(call))


async def delete_secret(call: Call) -> Response:
    """Forget a secret of the project, or of an environment."""
    return await delete_at(call, call.rooms.people.secrets, read_level(call))


async def list_shared(call: Call) -> Response:
    """The names of the organisation's secrets: jobs of all projects may get them."""
    return view_response(SecretList(*await list_at(call, call.rooms.people.secrets, ORGANISATION)))


async def put_shared(call: Call) -> Response:
    """Set a secret of the organisation."""
    return await _put(call, Level())


async def delete_shared(call: Call) -> Response:
    """Forget a secret of the organisation."""
    return await delete_at(call, call.rooms.people.secrets, Level())


async def _put(call: Call, level: Level) -> Response:
    body = await call.body(SecretBody)
    name = await call.rooms.people.secrets.put(level, call.text("name"), body.value, body.refs)
    return view_response(Named(name))


OPERATIONS = make_operations(
    "secrets",
    Handlers(list_secrets, put_secret, delete_secret, list_shared, put_shared, delete_shared),
    readers=Access.MAINTAINER,
    body=SecretBody,
    listed=SecretList,
)
