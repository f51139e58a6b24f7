"""`github.actions.results.api.v1.ArtifactService`: artifacts as actions/upload-artifact and download-artifact use them.

    CreateArtifact -> a signed URL -> (the bytes, `agent.server.toolkit.blobs`) -> FinalizeArtifact

An artifact belongs to the run; any of the run's jobs may list and download it once it is final. The caller's token
says which run and job it is; what the body says must agree.
"""

import re
from datetime import datetime

from starlette.responses import Response

from agent.errors import NotFoundError, RefusedError, UsageError
from agent.server.events.views import time_text
from agent.server.http.call import Call, json_response
from agent.server.http.operation import Operation
from agent.server.people.auth.access import Access
from agent.server.people.auth.runtime import JobIdentity
from agent.server.process.problems import ConflictError, UnauthorizedError
from agent.server.store import artifacts, jobs, leases
from agent.server.store.artifacts import ArtifactRow
from agent.server.store.database import Connection
from agent.server.store.states import UploadStatus
from agent.server.toolkit.blobs import download_url, remove_all, remove_parts, upload_url
from agent.server.toolkit.shelves import ARTIFACTS, stored_artifact
from agent.server.toolkit.twirp import number_field, read_fields, text_field
from agent.visible import check_visible, show_name

SERVICE = "/twirp/github.actions.results.api.v1.ArtifactService"
_FORBIDDEN = re.compile(r'["<>|*?:\r\n\\/\x00-\x1f\x7f]')
_MOST_NAME_BYTES = 255


async def create_artifact(call: Call) -> Response:
    """Reserve a name in the run, and say where its bytes go. Asked again by the same job, whose answer was lost: the same.

    What an earlier try of the job has left under the name makes room.
    """
    fields = await read_fields(call)
    job = _check_caller(call, fields)
    name = check_name(text_field(fields, "name"))
    values = {
        "run": job.run,
        "job": job.job,
        "name": name,
        "mime_type": _mime_type(fields),
        "expires_at": _expiry(text_field(fields, "expires_at")),
    }
    async with call.rooms.changes.begin() as change:
        taken = await artifacts.find_by_name(change.connection, job.run, name)
        is_old = taken is not None and await _is_of_earlier_try(change.connection, taken, job)
        if taken is not None and is_old:
            await artifacts.remove_artifact(change.connection, taken.id)
        artifact = await artifacts.add_artifact(change.connection, created_at=change.now, **values)
        if (
            artifact is None
            and taken is not None
            and taken.job == job.job
            and taken.status is UploadStatus.UPLOADING
        ):
            artifact = taken.id
    if artifact is None:
        raise ConflictError(f"an artifact with this name already exists on the run: {name}")
    if taken is not None and is_old:
        await remove_all(call.rooms, ARTIFACTS, stored_artifact(taken))
    return json_response({"ok": True, "signed_upload_url": upload_url(call, ARTIFACTS, artifact)})


async def _is_of_earlier_try(connection: Connection, taken: ArtifactRow, job: JobIdentity) -> bool:
    """Whether `job` has made it itself before: under a lease that is over, or in an attempt that is (a retry, a re-run)."""
    if taken.job == job.job:
        offered_at = await leases.find_offered_at(connection, job.job, job.lease)
        return offered_at is not None and taken.created_at < offered_at
    maker, own = await jobs.find_job(connection, taken.job), await jobs.find_job(connection, job.job)
    if maker is None or own is None or maker.key != own.key:
        return False
    return (maker.run_attempt, maker.attempt) < (own.run_attempt, own.attempt)


async def finalize_artifact(call: Call) -> Response:
    """The artifact is complete: its size and hash are compared, and it is seen from now on."""
    fields = await read_fields(call)
    row = await _find(call, fields)
    size, digest = number_field(fields, "size"), text_field(fields, "hash")
    if row.status is UploadStatus.UPLOADING:
        raise UsageError("the artifact's bytes have not arrived", where=row.name)
    if size is not None and size != row.size_bytes:
        raise UsageError(f"the artifact has {row.size_bytes} bytes here, not {size}", where=row.name)
    if digest and digest != row.digest:
        raise UsageError(f"the artifact has the hash {row.digest} here, not {digest}", where=row.name)
    async with call.rooms.changes.begin() as change:
        if row.status is not UploadStatus.FINAL and not await artifacts.mark_final(change.connection, row.id):
            raise ConflictError("the artifact was changed meanwhile")
        await change.tell_run(row.run)
    await remove_parts(call.rooms, ARTIFACTS, row.id)
    return json_response({"ok": True, "artifact_id": str(row.id)})


async def list_artifacts(call: Call) -> Response:
    """The run's finished artifacts."""
    fields = await read_fields(call)
    job = _check_caller(call, fields)
    name, number = text_field(fields, "name_filter"), number_field(fields, "id_filter")
    async with call.rooms.database.read() as connection:
        rows = await artifacts.list_final(connection, job.run)
    shown = [
        _artifact_json(row)
        for row in rows
        if (not name or row.name == name) and (number is None or row.id == number)
    ]
    return json_response({"artifacts": shown})


async def sign_artifact(call: Call) -> Response:
    """Where the bytes of a finished artifact are."""
    row = await _find(call, await read_fields(call), only_final=True)
    signed = await download_url(call, ARTIFACTS, stored_artifact(row))
    return json_response({"name": row.name, "signed_url": signed})


async def delete_artifact(call: Call) -> Response:
    """Forget an artifact: also an upload that was broken off, so that its name is free again."""
    row = await _find(call, await read_fields(call))
    async with call.rooms.changes.begin() as change:
        await artifacts.remove_artifact(change.connection, row.id)
        await change.tell_run(row.run)
    await remove_all(call.rooms, ARTIFACTS, stored_artifact(row))
    return json_response({"ok": True, "artifact_id": str(row.id)})


async def _find(call: Call, fields: dict[str, object], *, only_final: bool = False) -> ArtifactRow:
    job = _check_caller(call, fields)
    name = text_field(fields, "name")
    async with call.rooms.database.read() as connection:
        row = await artifacts.find_by_name(connection, job.run, name)
    if row is None or (only_final and row.status is not UploadStatus.FINAL):
        raise NotFoundError(f"this run has no artifact '{name[:80]}'")
    return row


def _check_caller(call: Call, fields: dict[str, object]) -> JobIdentity:
    """The job that calls. Raises RefusedError when the body names another run or job."""
    job = call.caller.job
    if job is None:
        raise UnauthorizedError("a job's token is needed")
    named_run = text_field(fields, "workflow_run_backend_id", str(job.run))
    named_job = text_field(fields, "workflow_job_run_backend_id", job.job)
    if named_run != str(job.run) or not _is_job_id(named_job):
        raise RefusedError("the job's token is for another run")
    return job


def _is_job_id(text: str) -> bool:
    return re.fullmatch(r"job_[0-9a-z]{20}", text) is not None


def check_name(name: str) -> str:
    """`name`, when an artifact may have it. Raises UsageError."""
    if not name or name in (".", "..") or len(name.encode("utf-8", "replace")) > _MOST_NAME_BYTES:
        raise UsageError("the artifact has no name, or a far too long one", where=show_name(name[:80]))
    if _FORBIDDEN.search(name):
        raise UsageError(
            "an artifact's name may not hold \" : < > | * ? \\ / or control characters",
            where=show_name(name[:80]),
        )
    return check_visible(name, "an artifact")


def _mime_type(fields: dict[str, object]) -> str:
    return check_mime_type(text_field(fields, "mime_type", "application/zip"))


def check_mime_type(given: str) -> str:
    """`given`, when it is a media type; else that of bytes."""
    is_one = re.fullmatch(r"[\w.+-]{1,60}/[\w.+-]{1,60}", given, re.ASCII)
    return given if is_one else "application/octet-stream"


def _expiry(text: str) -> float | None:
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise UsageError("'expires_at' is not a time", where=text[:40]) from None


def _artifact_json(row: ArtifactRow) -> dict[str, object]:
    return {
        "workflow_run_backend_id": str(row.run),
        "workflow_job_run_backend_id": row.job,
        "database_id": str(row.id),
        "name": row.name,
        "size": str(row.size_bytes),
        "created_at": time_text(row.created_at),
        "digest": row.digest,
    }


OPERATIONS = tuple(
    Operation("POST", f"{SERVICE}/{name}", Access.JOB, handler, query=None, documented=False)
    for name, handler in (
        ("CreateArtifact", create_artifact),
        ("FinalizeArtifact", finalize_artifact),
        ("ListArtifacts", list_artifacts),
        ("GetSignedArtifactURL", sign_artifact),
        ("DeleteArtifact", delete_artifact),
    )
)
