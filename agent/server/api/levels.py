"""Values that are set by name at levels: the project's own, one of its environments', the organisation's. One table for each such noun."""

from dataclasses import dataclass

import msgspec
from starlette.responses import Response

from agent.server.http.call import Call, Handler, empty_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.people.levels import Level
from agent.server.people.named_values import NamedValues, R, V
from agent.server.people.vault import check_environment
from agent.server.process.paging import LongPage

ORGANISATION = 0  # in the place of a project: what all of them see


class LevelQuery(msgspec.Struct, forbid_unknown_fields=True):
    """An environment of the project; without it, the project itself."""

    environment: str = ""


def read_level(call: Call) -> Level:
    """The level that the query names. Raises UsageError for what can't be an environment's name."""
    return Level(call.project.id, check_environment(call.query(LevelQuery).environment))


async def list_at(call: Call, values: NamedValues[R, V], project: int) -> tuple[list[V], str | None]:
    """The part that the query asks for of what `project` sees."""
    return await values.list_of(project, call.query(LongPage))


async def delete_at(call: Call, values: NamedValues[R, V], level: Level) -> Response:
    """Forget the one that the path names."""
    await values.remove(level, call.text("name"))
    return empty_response()


class Named(msgspec.Struct):
    """A thing's name, as it is stored."""

    name: str


@dataclass(frozen=True, slots=True)
class Handlers:
    """Of one noun: in a project, and of the organisation."""

    list: Handler
    put: Handler
    delete: Handler
    list_shared: Handler
    put_shared: Handler
    delete_shared: Handler


def make_operations(
    noun: str,
    handlers: Handlers,
    *,
    readers: Access,
    body: type[msgspec.Struct],
    listed: type[msgspec.Struct],
) -> tuple[Operation, ...]:
    """The rows of `noun` (in plural); `readers` may list a project's."""
    own, shared = f"{V1}/{noun}", f"{V1}/organisation/{noun}"
    lists, named = {200: listed}, {200: Named}
    writer, admin = Access.MAINTAINER, Access.ORGANISATION
    return (
        Operation("GET", own, readers, handlers.list, query=LongPage, answers=lists),
        Operation(
            *("PUT", f"{own}/{{name}}", writer, handlers.put), query=LevelQuery, body=body, answers=named
        ),
        Operation("DELETE", f"{own}/{{name}}", writer, handlers.delete, query=LevelQuery),
        Operation("GET", shared, admin, handlers.list_shared, query=LongPage, answers=lists),
        Operation("PUT", f"{shared}/{{name}}", admin, handlers.put_shared, body=body, answers=named),
        Operation("DELETE", f"{shared}/{{name}}", admin, handlers.delete_shared),
    )
