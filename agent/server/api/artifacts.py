"""`/api/v1/.../artifacts`: what jobs left, for people. Jobs themselves use `agent.server.toolkit.artifacts`."""

import secrets

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError
from agent.server.data.blobs.store import Written
from agent.server.events.views import ArtifactView, view_artifact
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import ANY, BYTES, V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import Next, Page, part
from agent.server.process.problems import ConflictError, TooLargeError
from agent.server.store import artifacts, retention, runs
from agent.server.store.artifacts import ArtifactRow
from agent.server.store.locks import lock_name
from agent.server.store.states import UploadStatus
from agent.server.toolkit.artifacts import check_mime_type, check_name
from agent.server.toolkit.blobs import read_start, redirect_or_send, remove_all
from agent.server.toolkit.shelves import ARTIFACTS, artifact_headers, check_quota, stored_artifact


class ArtifactList(msgspec.Struct):
    """The finished artifacts of a run."""

    artifacts: list[ArtifactView]
    next: Next


class UploadQuery(msgspec.Struct, forbid_unknown_fields=True):
    """`digest` (`sha256:HEX`) is held against the bytes; `overwrite` replaces an artifact of the same name."""

    digest: str = ""
    overwrite: bool = False


async def list_artifacts(call: Call) -> Response:
    """The run's finished artifacts."""
    run = call.number("run")
    async with call.rooms.database.read() as connection:
        if await runs.find_run(connection, run) is None:
            raise NotFoundError(f"there is no run {run}")
        found = await artifacts.list_final(connection, run)
    rows, after = part(found, call.query(Page), lambda row: row.id, int)
    return view_response(ArtifactList([view_artifact(row) for row in rows], after))


async def download_artifact(call: Call) -> Response:
    """The artifact's bytes, as a file to save; 302 to the bucket that has them, where there is one. `Range: bytes=N-` goes on after a cut."""
    async with call.rooms.database.read() as connection:
        row = await artifacts.find_artifact(connection, call.number("artifact"))
    if row is None or row.status is not UploadStatus.FINAL:
        raise NotFoundError("there is no such artifact")
    return await redirect_or_send(call.rooms, stored_artifact(row), read_start(call, row.size_bytes))


async def upload_artifact(call: Call) -> Response:
    """Add an artifact to a run; it is final at once. Its digest may be named; a taken name needs `overwrite`."""
    query, name, run = call.query(UploadQuery), check_name(call.text("artifact_name")), call.number("run")
    mime_type = check_mime_type(call.request.headers.get("content-type", "application/octet-stream"))
    async with call.rooms.database.read() as connection:
        _check_free(await artifacts.find_by_name(connection, run, name), query)
    key = f"artifacts/{run}/by-hand-{secrets.token_hex(8)}"
    written = await call.rooms.data.blobs.write(
        key,
        call.request.stream(),
        limit_bytes=await ARTIFACTS.room(call.rooms, call.project.id),
        digest=query.digest,
        headers=artifact_headers(name, mime_type),
    )
    try:
        row, old = await _write_down(call, name, mime_type, key, written)
    except (ConflictError, TooLargeError):
        await call.rooms.data.blobs.remove(key)
        raise
    if old is not None:
        await remove_all(call.rooms, ARTIFACTS, stored_artifact(old))
    return view_response(view_artifact(row), 201)


async def _write_down(
    call: Call, name: str, mime_type: str, key: str, written: Written
) -> tuple[ArtifactRow, ArtifactRow | None]:
    """The new row, and the one that it has replaced. Raises TooLargeError when others have taken the room meanwhile."""
    query, run = call.query(UploadQuery), call.number("run")
    async with call.rooms.changes.begin() as change:
        await lock_name(change.connection, f"uploads of {call.project.id}")
        old = await artifacts.find_by_name(change.connection, run, name)
        _check_free(old, query)
        if old is not None:
            await retention.forget_artifacts(change.connection, [old.id])
        number = await artifacts.add_artifact(
            change.connection,
            run=run,
            job="",
            name=name,
            mime_type=mime_type,
            created_at=change.now,
            expires_at=None,
        )
        if number is None:
            raise ConflictError("another upload of this name was quicker", where=name)
        used = await artifacts.size_of_all(change.connection, call.project.id)
        check_quota(call.project.settings.max_artifact_bytes, used, written.size_bytes)
        await artifacts.mark_uploaded(change.connection, number, key, written.size_bytes, written.digest)
        await artifacts.mark_final(change.connection, number)
        await change.tell_run(run)
        row = await artifacts.find_artifact(change.connection, number)
    assert row is not None
    return row, old


def _check_free(row: ArtifactRow | None, query: UploadQuery) -> None:
    if row is not None and not query.overwrite:
        raise ConflictError(
            "the run has an artifact of this name",
            where=row.name,
            hint="overwrite it with --overwrite (in the API: ?overwrite=true)",
        )


async def delete_artifact(call: Call) -> Response:
    """Forget an artifact."""
    async with call.rooms.changes.begin() as change:
        row = await artifacts.find_artifact(change.connection, call.number("artifact"))
        if row is None:
            raise NotFoundError("there is no such artifact")
        await retention.forget_artifacts(change.connection, [row.id])
        await change.tell_run(row.run)
    await remove_all(call.rooms, ARTIFACTS, stored_artifact(row))
    return empty_response()


OPERATIONS = (
    Operation(
        "PUT",
        f"{V1}/runs/{{run:int}}/artifacts/{{artifact_name}}",
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
        answers={200: ANY, 206: ANY, 302: None},
    ),
)
