"""Artifacts of other runs, as GitHub's REST API has them: what download-artifact asks with `run-id` and `github-token`.

GET /api/v3/repos/OWNER/NAME/actions/runs/RUN/artifacts[?name=]      the run's finished artifacts
GET /api/v3/repos/OWNER/NAME/actions/artifacts/ID/zip                302 to where the bytes are

A job has those of its project's runs, when its flow says `permissions: actions: read`; people, who may look at the project.
"""

import re

from starlette.responses import Response

from agent.errors import NotFoundError
from agent.server.data.shelves import ARTIFACTS
from agent.server.http.call import Call, json_response
from agent.server.http.operation import Operation
from agent.server.people.auth.access import Access
from agent.server.runs.artifact_views import ArtifactView
from agent.server.toolkit.blobs import download_url

_BASE = "/api/v3/repos/{owner}/{name}/actions"


async def list_artifacts(call: Call) -> Response:
    """The finished artifacts of a run of the project."""
    run, query = call.number("run"), call.request.query_params
    room = call.rooms.data.job_artifacts
    await _check_permission(call, run)
    found = [one for one in await room.list_final(run) if query.get("name") in (None, one.name)]
    found.sort(key=lambda one: one.id, reverse=True)
    page, size = _read_number(query.get("page"), 1), min(_read_number(query.get("per_page"), 30), 100)
    shown = found[(page - 1) * size : page * size]
    return json_response({"total_count": len(found), "artifacts": [_show(call, one) for one in shown]})


async def find_artifact(call: Call) -> Response:
    """Where the bytes of an artifact of the project are."""
    number = call.number("artifact")
    found = await call.rooms.data.job_artifacts.find_view(number)
    await _check_permission(call, found.run)
    stored = await call.rooms.data.uploads.find(ARTIFACTS, number)
    if not stored.is_final:
        raise NotFoundError("there is no such artifact")
    return Response(status_code=302, headers={"Location": await download_url(call, ARTIFACTS, stored)})


def _read_number(text: str | None, usually: int) -> int:
    """A number of a query as GitHub reads it: what is none is as if nobody had said it."""
    return int(text) if text and re.fullmatch("[1-9][0-9]{0,8}", text) else usually


async def _check_permission(call: Call, run: int) -> None:
    if call.caller.job is not None and call.caller.job.run != run:
        await call.rooms.data.job_artifacts.check_reads_others(call.caller.job)


def _show(call: Call, one: ArtifactView) -> dict[str, object]:
    owner, name = call.text("owner"), call.text("name")
    url = f"{call.base_url}/api/v3/repos/{owner}/{name}/actions/artifacts/{one.id}"
    return {
        "id": one.id,
        "name": one.name,
        "size_in_bytes": one.size_bytes,
        "url": url,
        "archive_download_url": f"{url}/zip",
        "expired": False,
        "digest": one.digest,
        "created_at": one.created,
        "updated_at": one.created,
        "expires_at": one.expires,
    }


OPERATIONS = (
    Operation(
        "GET",
        f"{_BASE}/runs/{{run:int}}/artifacts",
        Access.VIEWER_OR_JOB,
        list_artifacts,
        query=None,
        documented=False,
    ),
    Operation(
        "GET",
        f"{_BASE}/artifacts/{{artifact:int}}/zip",
        Access.VIEWER_OR_JOB,
        find_artifact,
        query=None,
        documented=False,
    ),
)
