"""`/api/v1/tags`, and the tags of a run, an artifact or a version of a dataset.

A tag on an artifact may start flows (`on: artifact_tagged`). Of a dataset's versions one at most has a tag.
"""

import msgspec
from starlette.responses import Response

from agent.server.api.datasets import VERSION, version_of
from agent.server.data.tags import TaggedKind, TagView
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import LongPage, Next


class TagQuery(LongPage):
    """Only tags of this name."""

    tag: str = ""


class TagList(msgspec.Struct):
    """Tags by name."""

    tags: list[TagView]
    next: Next


async def list_tags(call: Call) -> Response:
    """The project's tags."""
    query, tags = call.query(TagQuery), call.rooms.data.tags
    return view_response(TagList(*await tags.list_of(call.project.id, query, tag=query.tag)))


async def list_of_run(call: Call) -> Response:
    """The tags of a run."""
    return await _list_of(call, "run")


async def list_of_artifact(call: Call) -> Response:
    """The tags of an artifact."""
    return await _list_of(call, "artifact")


async def tag_run(call: Call) -> Response:
    """Put a tag on a run; once more changes nothing."""
    tags, who = call.rooms.data.tags, call.caller.name
    return view_response(await tags.tag_run(call.project.id, call.number("run"), call.text("tag"), who))


async def tag_artifact(call: Call) -> Response:
    """Put a tag on an artifact; once more changes nothing. Flows with `on: artifact_tagged` hear of it."""
    tags, number = call.rooms.data.tags, call.number("artifact")
    return view_response(await tags.tag_artifact(call.project.id, number, call.text("tag"), call.caller.name))


async def list_of_version(call: Call) -> Response:
    """The tags of a version of a dataset."""
    tags, page = call.rooms.data.tags, call.query(LongPage)
    return view_response(TagList(*await tags.list_of_version(version_of(call), page)))


async def tag_version(call: Call) -> Response:
    """Put a tag on a version of a dataset; the dataset's other versions lose it."""
    tags = call.rooms.data.tags
    return view_response(await tags.tag_version(version_of(call), call.text("tag"), call.caller.name))


async def untag_version(call: Call) -> Response:
    """Take a tag off a version of a dataset."""
    await call.rooms.data.tags.untag_version(version_of(call), call.text("tag"))
    return empty_response()


async def untag_run(call: Call) -> Response:
    """Take a tag off a run."""
    return await _remove(call, "run")


async def untag_artifact(call: Call) -> Response:
    """Take a tag off an artifact."""
    return await _remove(call, "artifact")


async def _list_of(call: Call, kind: TaggedKind) -> Response:
    tags, page = call.rooms.data.tags, call.query(LongPage)
    return view_response(
        TagList(*await tags.list_of(call.project.id, page, kind=kind, thing=call.number(kind)))
    )


async def _remove(call: Call, kind: TaggedKind) -> Response:
    await call.rooms.data.tags.remove(kind, call.number(kind), call.text("tag"))
    return empty_response()


_VERSION = f"{VERSION}/tags"
_RUN, _ARTIFACT = f"{V1}/runs/{{run:run}}/tags", f"{V1}/artifacts/{{artifact:int}}/tags"
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
