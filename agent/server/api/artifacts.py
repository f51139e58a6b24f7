"""`/api/v1/.../artifacts`: what jobs left, for people. Jobs themselves use `agent.server.toolkit.artifacts`."""

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError
from agent.server.auth.access import Access
from agent.server.call import Call, view_response
from agent.server.operation import ANY, V1, Operation
from agent.server.paging import Next, Page, part
from agent.server.store import artifacts, runs
from agent.server.toolkit.blobs import redirect_or_send
from agent.server.toolkit.shelves import stored_artifact
from agent.server.views import ArtifactView, view_artifact


class ArtifactList(msgspec.Struct):
    """The finished artifacts of a run."""

    artifacts: list[ArtifactView]
    next: Next


async def list_artifacts(call: Call) -> Response:
    """The run's finished artifacts."""
    run = call.number("run")
    async with call.services.database.read() as connection:
        if await runs.find_run(connection, run) is None:
            raise NotFoundError(f"there is no run {run}")
        found = await artifacts.list_final(connection, run)
    rows, after = part(found, call.query(Page), lambda row: row.id, int)
    return view_response(ArtifactList([view_artifact(row) for row in rows], after))


async def download_artifact(call: Call) -> Response:
    """The artifact's bytes, as a file to save; 302 to the bucket that has them, where there is one."""
    async with call.services.database.read() as connection:
        row = await artifacts.find_artifact(connection, call.number("artifact"))
    if row is None or row.status != "final":
        raise NotFoundError("there is no such artifact")
    return await redirect_or_send(call.services, stored_artifact(row))


OPERATIONS = (
    Operation(
        "GET",
        f"{V1}/runs/{{run:int}}/artifacts",
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
        answers={200: ANY, 302: None},
    ),
)
