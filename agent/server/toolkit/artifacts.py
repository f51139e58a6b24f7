"""`github.actions.results.api.v1.ArtifactService`: artifacts as actions/upload-artifact and download-artifact use them.

    CreateArtifact -> a signed URL -> (the bytes, `agent.server.toolkit.blobs`) -> FinalizeArtifact

An artifact belongs to the run; any of the run's jobs may list and download it once it is final. The caller's token
says which run and job it is; what the body says must agree.
"""

import re
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from starlette.responses import Response

from agent.errors import RefusedError, UsageError
from agent.server.data.artifacts import check_mime_type, note_kept
from agent.server.data.checkpoints import note_checkpoint
from agent.server.data.shelves import ARTIFACTS
from agent.server.http.call import Call, json_response
from agent.server.http.operation import Operation
from agent.server.people.auth.access import Access
from agent.server.people.auth.runtime import JobIdentity
from agent.server.process.problems import UnauthorizedError
from agent.server.runs.artifact_views import ArtifactView
from agent.server.toolkit.blobs import download_url, upload_url
from agent.server.toolkit.twirp import number_field, read_fields, text_field


class _Kept(msgspec.Struct):
    """What the step that keeps a job's data notes of a tree."""

    kind: Literal["artifact", "volume", "checkpoint"]
    label: Annotated[str, msgspec.Meta(max_length=4000)]
    path: Annotated[str, msgspec.Meta(max_length=4000)]
    is_file: bool = False
    size: int = 0
    age_seconds: Annotated[float, msgspec.Meta(ge=0)] = (
        0.0  # of a checkpoint: since its newest file was written
    )
    most: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1  # of a checkpoint: so many are kept, the newest


SERVICE = "/twirp/github.actions.results.api.v1.ArtifactService"


async def create_artifact(call: Call) -> Response:
    """Reserve a name in the run, and say where its bytes go. Asked again by the same job, whose answer was lost: the same.

    What an earlier try of the job has left under the name makes room. `kept` (ours) is what the job's own step notes of a
    tree: what the job has kept under the name before gives way when the new one is finalized. With `tree` (ours) it is sent by
    content (`agent.server.api.trees`), and the answer says that it may be.
    """
    fields = await read_fields(call)
    job, name, kept = _check_caller(call, fields), text_field(fields, "name"), fields.get("kept")
    is_tree = fields.get("tree") is True
    if kept is not None:
        noted = _read_kept(kept)
        artifact = await call.rooms.data.job_artifacts.reserve_kept(job, name, noted, is_tree=is_tree)
    else:
        artifact = await call.rooms.data.job_artifacts.reserve(
            job,
            name,
            check_mime_type(text_field(fields, "mime_type", "application/zip")),
            _expiry(text_field(fields, "expires_at")),
            is_tree=is_tree,
        )
    url = upload_url(call, ARTIFACTS, artifact)
    more = {"tree": True} if is_tree else {}
    return json_response({"ok": True, "signed_upload_url": url, "artifact_id": str(artifact), **more})


async def finalize_artifact(call: Call) -> Response:
    """The artifact is complete: its size and hash are compared, and it is seen from now on."""
    fields = await read_fields(call)
    job, size, digest = _check_caller(call, fields), number_field(fields, "size"), text_field(fields, "hash")
    kept, room = number_field(fields, "artifact_id"), call.rooms.data.job_artifacts
    if kept is not None:
        number = await room.finish_kept(job, kept, size, digest)
    else:
        number = await room.finish(job.run, text_field(fields, "name"), size, digest)
    return json_response({"ok": True, "artifact_id": str(number)})


async def list_artifacts(call: Call) -> Response:
    """The run's finished artifacts."""
    fields = await read_fields(call)
    job = _check_caller(call, fields)
    name, number = text_field(fields, "name_filter"), number_field(fields, "id_filter")
    shown = [
        _artifact_json(artifact)
        for artifact in await call.rooms.data.job_artifacts.list_final(job.run)
        if (not name or artifact.name == name) and (number is None or artifact.id == number)
    ]
    return json_response({"artifacts": shown})


async def sign_artifact(call: Call) -> Response:
    """Where the bytes of a finished artifact are: of the run's by name, or of one that was brought to the job, by its id (ours)."""
    fields = await read_fields(call)
    job, name = _check_caller(call, fields), text_field(fields, "name")
    number, room = number_field(fields, "artifact_id"), call.rooms.data.job_artifacts
    stored = await (room.find_named(job.run, name) if number is None else room.find_brought(job, number))
    return json_response({"name": name, "signed_url": await download_url(call, ARTIFACTS, stored)})


async def delete_artifact(call: Call) -> Response:
    """Forget an artifact: also an upload that was broken off, so that its name is free again."""
    fields = await read_fields(call)
    job, name = _check_caller(call, fields), text_field(fields, "name")
    number = await call.rooms.data.job_artifacts.remove_named(job.run, name)
    return json_response({"ok": True, "artifact_id": str(number)})


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


def _read_kept(kept: object) -> str:
    """What is noted of a tree, as the row has it. Raises UsageError."""
    try:
        noted = msgspec.convert(kept, _Kept)
    except msgspec.ValidationError as error:
        raise UsageError(f"'kept' is not what a step notes of a tree: {error}") from None
    if noted.kind == "checkpoint":
        return note_checkpoint(noted.path, noted.size, noted.age_seconds, noted.most)
    return note_kept(noted.path, is_file=noted.is_file, kind=noted.kind, label=noted.label, size=noted.size)


def _is_job_id(text: str) -> bool:
    return re.fullmatch(r"job_[0-9a-z]{20}", text) is not None


def _expiry(text: str) -> float | None:
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise UsageError("'expires_at' is not a time", where=text[:40]) from None


def _artifact_json(artifact: ArtifactView) -> dict[str, object]:
    return {
        "workflow_run_backend_id": str(artifact.run),
        "workflow_job_run_backend_id": artifact.job,
        "database_id": str(artifact.id),
        "name": artifact.name,
        "size": str(artifact.size_bytes),
        "created_at": artifact.created,
        **({"digest": artifact.digest} if artifact.digest else {}),
        **({"tree": artifact.tree} if artifact.tree else {}),
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
