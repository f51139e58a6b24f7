"""`/api/v1/secrets` of a project and its environments, `/api/v1/organisation/secrets`: names are shown, values never."""

import msgspec
from starlette.responses import Response

from agent.server.api.level import LevelQuery, read_level
from agent.server.events.views import Moment, Named, time_text
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.http.paging import LongPage, Next, part
from agent.server.people.auth.access import Access
from agent.server.store import settings
from agent.server.store.settings import Level, SecretRow


class SecretBody(msgspec.Struct, forbid_unknown_fields=True):
    """The value of a secret, which shows in no repr; and the patterns of refs whose runs get it (none: all)."""

    value: str
    refs: list[str] = []

    def __repr__(self) -> str:
        return "SecretBody(...)"


class SecretView(msgspec.Struct):
    """A secret: where it is set, who may use it, and when it was set."""

    name: str
    level: str
    environment: str
    refs: list[str]
    updated: Moment | None


class SecretList(msgspec.Struct):
    """Secrets by name."""

    secrets: list[SecretView]
    next: Next


async def list_secrets(call: Call) -> Response:
    """The names of all secrets that jobs of the project may get, with the level at which each is set."""
    return await _list(call, call.project.id)


async def put_secret(call: Call) -> Response:
    """Set a secret of the project, or of an environment."""
    return await _put(call, read_level(call))


async def delete_secret(call: Call) -> Response:
    """Forget a secret of the project, or of an environment."""
    return await _delete(call, read_level(call))


async def list_shared(call: Call) -> Response:
    """The names of the organisation's secrets: jobs of all projects may get them."""
    return await _list(call, 0)


async def put_shared(call: Call) -> Response:
    """Set a secret of the organisation."""
    return await _put(call, Level())


async def delete_shared(call: Call) -> Response:
    """Forget a secret of the organisation."""
    return await _delete(call, Level())


async def _list(call: Call, project: int) -> Response:
    async with call.rooms.database.read() as connection:
        found = await settings.list_secrets(connection, project)
    rows, after = part(found, call.query(LongPage), lambda row: row.key, tuple[int, str, str])
    return view_response(SecretList([_view(row) for row in rows], after))


async def _put(call: Call, level: Level) -> Response:
    body = await call.body(SecretBody)
    async with call.rooms.changes.begin() as change:
        name = await call.rooms.people.vault.put(
            change.connection, level, call.text("name"), body.value, refs=body.refs, now=change.now
        )
    return view_response(Named(name))


async def _delete(call: Call, level: Level) -> Response:
    async with call.rooms.changes.begin() as change:
        await call.rooms.people.vault.remove(change.connection, level, call.text("name"))
    return empty_response()


def _view(row: SecretRow) -> SecretView:
    return SecretView(
        row.name, row.level.name, row.level.environment, list(row.refs), time_text(row.updated_at)
    )


_OWN, _SHARED = f"{V1}/secrets", f"{V1}/organisation/secrets"
OPERATIONS = (
    Operation("GET", _OWN, Access.MAINTAINER, list_secrets, query=LongPage, answers={200: SecretList}),
    Operation(
        "PUT",
        f"{_OWN}/{{name}}",
        Access.MAINTAINER,
        put_secret,
        query=LevelQuery,
        body=SecretBody,
        answers={200: Named},
    ),
    Operation("DELETE", f"{_OWN}/{{name}}", Access.MAINTAINER, delete_secret, query=LevelQuery),
    Operation("GET", _SHARED, Access.ORGANISATION, list_shared, query=LongPage, answers={200: SecretList}),
    Operation(
        "PUT", f"{_SHARED}/{{name}}", Access.ORGANISATION, put_shared, body=SecretBody, answers={200: Named}
    ),
    Operation("DELETE", f"{_SHARED}/{{name}}", Access.ORGANISATION, delete_shared),
)
