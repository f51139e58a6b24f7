"""`/api/v1/.../artifacts`: what jobs left, for people. Jobs themselves use `agent.server.toolkit.artifacts`."""

from typing import Annotated

import msgspec
from starlette.responses import Response

from agent.server.data.artifacts import NewArtifact, check_mime_type, check_name, note_kept
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.downloads import redirect_or_send
from agent.server.http.operation import ANY, BYTES, V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import Next, Page
from agent.server.runs.artifact_views import ArtifactView


class ArtifactList(msgspec.Struct):
    """The finished artifacts of a run."""

    artifacts: list[ArtifactView]
    next: Next


class UploadQuery(msgspec.Struct, forbid_unknown_fields=True):
    """`digest` (`sha256:HEX`) is held against the bytes; `overwrite` replaces an artifact of the same name.

    `kept_path`: it is the zip of a tree, which lies there for who is brought it; `kept_file`: of a single file.
    """

    digest: str = ""
    overwrite: bool = False
    kept_path: Annotated[str, msgspec.Meta(max_length=4000)] = ""
    kept_file: bool = False


async def list_artifacts(call: Call) -> Response:
    """The run's finished artifacts."""
    artifacts = call.rooms.data.artifacts
    return view_response(ArtifactList(*await artifacts.list_of(call.number("run"), call.query(Page))))


async def download_artifact(call: Call) -> Response:
    """The artifact's bytes, as a file to save; 302 to the bucket that has them, where there is one. `Range: bytes=N-` goes on after a cut."""
    return await redirect_or_send(call, await call.rooms.data.artifacts.find_final(call.number("artifact")))


async def upload_artifact(call: Call) -> Response:
    """Add an artifact to a run; it is final at once. Its digest may be named; a taken name needs `overwrite`."""
    query = call.query(UploadQuery)
    new = NewArtifact(
        run=call.number("run"),
        name=check_name(call.text("artifact_name")),
        mime_type=check_mime_type(call.request.headers.get("content-type", "application/octet-stream")),
        digest=query.digest,
        overwrite=query.overwrite,
        kept=note_kept(query.kept_path, is_file=query.kept_file) if query.kept_path else "",
    )
    added = await call.rooms.data.artifacts.add(call.project, new, call.request.stream())
    return view_response(added, 201)


async def delete_artifact(call: Call) -> Response:
    """Forget an artifact."""
    await call.rooms.data.artifacts.remove(call.number("artifact"))
    return empty_response()


OPERATIONS = (
    Operation(
        "PUT",
        f"{V1}/runs/{{run:run}}/artifacts/{{artifact_name}}",
        Access.RUNNER,
        upload_artifact,
        query=UploadQuery,
        body=BYTES,
        answers={201: ArtifactView},
        problems=(409, 422),
    ),
    Operation("DELETE", f"{V1}/artifacts/{{artifact:int}}", Access.MAINTAINER, delete_artifact),
    Operation(
        "GET",
        f"{V1}/runs/{{run:run}}/artifacts",
        Access.VIEWER,
        list_artifacts,
        query=Page,
        answers={200: ArtifactList},
    ),
    Operation(
        "GET",
        f"{V1}/artifacts/{{artifact:int}}/download",
        Access.VIEWER,
        download_artifact,
        answers={200: ANY, 206: ANY, 302: None},
    ),
)
