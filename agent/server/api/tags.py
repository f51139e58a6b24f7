"""`/api/v1/tags`, and the tags of a run or an artifact. A tag on an artifact may start flows (`on: artifact_tagged`)."""

import re

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError, UsageError
from agent.server.auth.access import Access
from agent.server.call import Call, empty_response, view_response
from agent.server.operation import V1, Operation
from agent.server.platform_events import PlatformEvent, emit
from agent.server.store import artifacts, tags
from agent.server.store.tags import TagRow
from agent.server.views import Moment, time_text, view_artifact

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class TagQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Only tags of this name."""

    tag: str = ""


class TagView(msgspec.Struct):
    """A tag, what it is on (`kind` run or artifact, by its id), and who put it there."""

    tag: str
    kind: str
    id: int
    actor: str
    created: Moment | None


class TagList(msgspec.Struct):
    """Tags by name."""

    tags: list[TagView]


async def list_tags(call: Call) -> Response:
    """The project's tags."""
    async with call.services.database.read() as connection:
        rows = await tags.list_tags(connection, call.project.id, tag=call.query(TagQuery).tag)
    return view_response(TagList([_view(row) for row in rows]))


async def list_own(call: Call) -> Response:
    """The tags of the run or artifact."""
    kind, thing = _thing(call)
    async with call.services.database.read() as connection:
        rows = await tags.list_tags(connection, call.project.id, kind=kind, thing=thing)
    return view_response(TagList([_view(row) for row in rows]))


async def add_tag(call: Call) -> Response:
    """Put a tag on the run or artifact; once more changes nothing."""
    kind, thing = _thing(call)
    name = call.text("tag")
    if not _TAG.fullmatch(name):
        raise UsageError(
            "this is no name for a tag",
            where=name[:80],
            hint="use letters, digits, dots, - and _; at most 128",
        )
    async with call.services.changes.begin() as change:
        row = TagRow(kind, thing, name, call.project.id, call.caller.name, change.now)
        if await tags.add_tag(change.connection, row) and kind == "artifact":
            artifact = await artifacts.find_artifact(change.connection, thing)
            if artifact is None or artifact.status != "final":
                raise NotFoundError("there is no such artifact")
            about = msgspec.to_builtins(view_artifact(artifact))
            event = PlatformEvent(
                "artifact_tagged",
                {"tag": name, "artifact": about},
                ref=f"refs/tags/{name}",
                names=(artifact.name,),
                project=call.project.id,
            )
            await emit(change, event)
    return view_response(_view(row))


async def remove_tag(call: Call) -> Response:
    """Take a tag off."""
    kind, thing = _thing(call)
    async with call.services.changes.begin() as change:
        if not await tags.remove_tag(change.connection, kind, thing, call.text("tag")):
            raise NotFoundError("there is no such tag on it")
    return empty_response()


def _thing(call: Call) -> tuple[str, int]:
    kind = "run" if "run" in call.request.path_params else "artifact"
    return kind, call.number(kind)


def _view(row: TagRow) -> TagView:
    return TagView(row.tag, row.kind, row.thing, row.actor, time_text(row.created_at))


_PLACES = (f"{V1}/runs/{{run:int}}/tags", f"{V1}/artifacts/{{artifact:int}}/tags")
OPERATIONS = (
    Operation("GET", f"{V1}/tags", Access.VIEWER, list_tags, query=TagQuery, answers={200: TagList}),
    *(Operation("GET", place, Access.VIEWER, list_own, answers={200: TagList}) for place in _PLACES),
    *(
        Operation("PUT", f"{place}/{{tag}}", Access.RUNNER, add_tag, answers={200: TagView}, problems=(422,))
        for place in _PLACES
    ),
    *(Operation("DELETE", f"{place}/{{tag}}", Access.RUNNER, remove_tag) for place in _PLACES),
)
