"""`/api/v1/tags`, and the tags of a run, an artifact or a version of a dataset.

A tag on an artifact may start flows (`on: artifact_tagged`). Of a dataset's versions one at most has a tag.
"""

import re
from typing import Annotated, NamedTuple

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError, UsageError
from agent.server.api.datasets import VERSION, find_named
from agent.server.data.dataset_commit import put_tag
from agent.server.events.views import Moment, time_text, view_artifact
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import LongPage, Next, RowId, cut, next_cursor
from agent.server.runs.platform_events import PlatformEvent, emit
from agent.server.store import artifacts, tags
from agent.server.store.datasets import TAGGED
from agent.server.store.states import UploadStatus
from agent.server.store.tags import TagRow

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class _Place(NamedTuple):
    """What lists of tags are sorted by: where a part of one begins."""

    tag: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]*$")]
    kind: Annotated[str, msgspec.Meta(pattern=r"^[a-z_]*$")]
    thing: RowId


class TagQuery(LongPage):
    """Only tags of this name."""

    tag: str = ""


class TagView(msgspec.Struct):
    """A tag, what it is on (`kind` run, artifact or dataset_version, by its id), and who put it there."""

    tag: str
    kind: str
    id: int
    actor: str
    created: Moment | None


class TagList(msgspec.Struct):
    """Tags by name."""

    tags: list[TagView]
    next: Next


async def list_tags(call: Call) -> Response:
    """The project's tags."""
    query = call.query(TagQuery)
    return await _list(call, query, tag=query.tag)


async def list_of_run(call: Call) -> Response:
    """The tags of a run."""
    return await _list_of(call, "run")


async def list_of_artifact(call: Call) -> Response:
    """The tags of an artifact."""
    return await _list_of(call, "artifact")


async def tag_run(call: Call) -> Response:
    """Put a tag on a run; once more changes nothing."""
    row = _row(call, "run")
    async with call.rooms.changes.begin() as change:
        await tags.add_tag(change.connection, row)
    return view_response(_view(row))


async def tag_artifact(call: Call) -> Response:
    """Put a tag on an artifact; once more changes nothing. Flows with `on: artifact_tagged` hear of it."""
    row = _row(call, "artifact")
    async with call.rooms.changes.begin() as change:
        artifact = await artifacts.find_artifact(change.connection, row.thing)
        if artifact is None or artifact.status is not UploadStatus.FINAL:
            raise NotFoundError("there is no such artifact")
        if await tags.add_tag(change.connection, row):
            event = PlatformEvent(
                "artifact_tagged",
                {"tag": row.tag, "artifact": msgspec.to_builtins(view_artifact(artifact))},
                ref=f"refs/tags/{row.tag}",
                names=(artifact.name,),
                project=row.project,
            )
            await emit(change, event)
    return view_response(_view(row))


async def list_of_version(call: Call) -> Response:
    """The tags of a version of a dataset."""
    async with call.rooms.database.read() as connection:
        _, version = await find_named(connection, call)
    return await _list(call, call.query(LongPage), kind=TAGGED, thing=version.id)


async def tag_version(call: Call) -> Response:
    """Put a tag on a version of a dataset; the dataset's other versions lose it."""
    async with call.rooms.changes.begin() as change:
        dataset, version = await find_named(change.connection, call)
        row = await put_tag(change, dataset, version, call.text("tag"), call.caller.name)
    return view_response(_view(row))


async def untag_version(call: Call) -> Response:
    """Take a tag off a version of a dataset."""
    async with call.rooms.changes.begin() as change:
        _, version = await find_named(change.connection, call)
        if not await tags.remove_tag(change.connection, TAGGED, version.id, call.text("tag")):
            raise NotFoundError("there is no such tag on it")
    return empty_response()


async def untag_run(call: Call) -> Response:
    """Take a tag off a run."""
    return await _remove(call, "run")


async def untag_artifact(call: Call) -> Response:
    """Take a tag off an artifact."""
    return await _remove(call, "artifact")


async def _list_of(call: Call, kind: str) -> Response:
    return await _list(call, call.query(LongPage), kind=kind, thing=call.number(kind))


async def _list(
    call: Call, page: LongPage, *, kind: str = "", thing: int | None = None, tag: str = ""
) -> Response:
    limit, after = page.limit, page.after(_Place)
    async with call.rooms.database.read() as connection:
        found = await tags.list_tags(
            connection, call.project.id, limit=limit + 1, after=after, kind=kind, thing=thing, tag=tag
        )
    shown = cut(found, limit)
    last = (shown[-1].tag, shown[-1].kind, shown[-1].thing) if shown else None
    return view_response(TagList([_view(row) for row in shown], next_cursor(found, limit, last)))


async def _remove(call: Call, kind: str) -> Response:
    async with call.rooms.changes.begin() as change:
        if not await tags.remove_tag(change.connection, kind, call.number(kind), call.text("tag")):
            raise NotFoundError("there is no such tag on it")
    return empty_response()


def _row(call: Call, kind: str) -> TagRow:
    """The tag that the path asks for. Raises UsageError for a name that no tag may have."""
    name = call.text("tag")
    if not _TAG.fullmatch(name):
        raise UsageError(
            "this is no name for a tag",
            where=name[:80],
            hint="use letters, digits, dots, - and _; at most 128",
        )
    now = call.rooms.clock.now()
    return TagRow(kind, call.number(kind), name, call.project.id, call.caller.name, now)


def _view(row: TagRow) -> TagView:
    return TagView(row.tag, row.kind, row.thing, row.actor, time_text(row.created_at))


_VERSION = f"{VERSION}/tags"
_RUN, _ARTIFACT = f"{V1}/runs/{{run:int}}/tags", f"{V1}/artifacts/{{artifact:int}}/tags"
OPERATIONS = (
    Operation("GET", f"{V1}/tags", Access.VIEWER, list_tags, query=TagQuery, answers={200: TagList}),
    Operation("GET", _RUN, Access.VIEWER, list_of_run, query=LongPage, answers={200: TagList}),
    Operation("GET", _ARTIFACT, Access.VIEWER, list_of_artifact, query=LongPage, answers={200: TagList}),
    Operation("PUT", f"{_RUN}/{{tag}}", Access.RUNNER, tag_run, answers={200: TagView}, problems=(422,)),
    Operation(
        "PUT", f"{_ARTIFACT}/{{tag}}", Access.RUNNER, tag_artifact, answers={200: TagView}, problems=(422,)
    ),
    Operation("GET", _VERSION, Access.VIEWER, list_of_version, query=LongPage, answers={200: TagList}),
    Operation(
        "PUT", f"{_VERSION}/{{tag}}", Access.RUNNER, tag_version, answers={200: TagView}, problems=(422,)
    ),
    Operation("DELETE", f"{_VERSION}/{{tag}}", Access.RUNNER, untag_version),
    Operation("DELETE", f"{_RUN}/{{tag}}", Access.RUNNER, untag_run),
    Operation("DELETE", f"{_ARTIFACT}/{{tag}}", Access.RUNNER, untag_artifact),
)
