"""`/api/v1/datasets/NAME/drafts`: how a new version comes to be.

    POST drafts -> POST drafts/N/files (the answer says what is missing) -> PUT drafts/N/contents/DIGEST -> POST drafts/N/commit

All of it may be sent again without harm.
"""

from typing import Annotated

import msgspec
from starlette.responses import Response

from agent.server.api.datasets import DATASET
from agent.server.data.dataset_commit import CommitOptions, commit_draft
from agent.server.data.dataset_views import Digest, FileView, VersionView, view_version
from agent.server.data.datasets import (
    begin_draft,
    check_may_write,
    find_dataset,
    find_draft,
)
from agent.server.events import audit
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import BYTES, Operation
from agent.server.people.auth.access import Access
from agent.server.store import datasets
from agent.server.store.database import Connection
from agent.server.store.datasets import DatasetRow, VersionRow
from agent.spec.dataset import ManifestFile

_MOST_FILES = 1000  # in one request


class NewDraft(msgspec.Struct, forbid_unknown_fields=True):
    """What is said of the version that the draft will be."""

    message: Annotated[str, msgspec.Meta(max_length=4000)] = ""
    metadata: dict[str, object] = {}


class DraftView(msgspec.Struct):
    """A draft: only who has begun it can go on with it, for a week."""

    draft: int
    dataset: str


class DraftFiles(msgspec.Struct, forbid_unknown_fields=True):
    """Files of the draft: all of them, in as many requests as it takes."""

    files: Annotated[list[FileView], msgspec.Meta(min_length=1, max_length=_MOST_FILES)]


class MissingView(msgspec.Struct):
    """The contents of the named files that the server does not have yet."""

    missing: list[Digest]


class Commit(msgspec.Struct, forbid_unknown_fields=True):
    """How to commit: the manifest's digest, which is compared; tags for the version.

    `unless_same`: when the newest version has the same files, that one is the answer (200), and no new one is made.
    """

    digest: Annotated[str, msgspec.Meta(pattern="^(sha256:[0-9a-f]{64})?$")] = ""
    tags: Annotated[list[str], msgspec.Meta(max_length=20)] = []
    unless_same: bool = False


async def add_draft(call: Call) -> Response:
    """Begin a new version of a dataset."""
    body = await call.body(NewDraft)
    async with call.rooms.changes.begin() as change:
        dataset = await find_dataset(change.connection, call.project.id, call.text("name"))
        audit.note(dataset=dataset.name)
        draft = await begin_draft(change, dataset, call.caller, message=body.message, metadata=body.metadata)
    return view_response(DraftView(draft.id, dataset.name), 201)


async def add_files(call: Call) -> Response:
    """Name files of the draft: the answer says which of their contents are missing."""
    body = await call.body(DraftFiles)
    async with call.rooms.database.read() as connection:
        _, draft = await _find(connection, call)
        await check_may_write(connection, call.caller)
    files = [ManifestFile(file.path, file.size_bytes, file.digest, file.mode) for file in body.files]
    return view_response(MissingView(await call.rooms.data.datasets.name_files(call.project, draft, files)))


async def put_content(call: Call) -> Response:
    """Send the bytes of files that the draft names; they are held against the digest."""
    async with call.rooms.database.read() as connection:
        _, draft = await _find(connection, call)
        await check_may_write(connection, call.caller)
    await call.rooms.data.datasets.store_content(
        call.project, draft, call.text("digest"), call.request.stream()
    )
    return empty_response()


async def commit(call: Call) -> Response:
    """Make the draft the dataset's next version: 201. Sent again it gives the same version: 200."""
    body = await call.body(Commit)
    async with call.rooms.database.read() as connection:
        dataset, draft = await _find(connection, call)
    wanted = CommitOptions(body.digest, body.tags, body.unless_same)
    done = await commit_draft(call.rooms.changes, dataset, draft, call.caller, wanted)
    return view_response(view_version(dataset, done.version, done.tags), 201 if done.is_new else 200)


async def delete_draft(call: Call) -> Response:
    """Give a draft up. What it alone has named goes with the next retention."""
    async with call.rooms.changes.begin() as change:
        _, draft = await _find(change.connection, call)
        await datasets.lock_contents(change.connection, call.project.id)
        await datasets.forget_draft(change.connection, draft.id)
    return empty_response()


async def _find(connection: Connection, call: Call) -> tuple[DatasetRow, VersionRow]:
    dataset = await find_dataset(connection, call.project.id, call.text("name"))
    return dataset, await find_draft(connection, dataset, call.number("draft"), call.caller)


_DRAFT = f"{DATASET}/drafts/{{draft:int}}"
OPERATIONS = (
    Operation(
        "POST",
        f"{DATASET}/drafts",
        Access.RUNNER_OR_JOB,
        add_draft,
        body=NewDraft,
        answers={201: DraftView},
        problems=(422,),
    ),
    Operation(
        "POST",
        f"{_DRAFT}/files",
        Access.RUNNER_OR_JOB,
        add_files,
        body=DraftFiles,
        answers={200: MissingView},
        problems=(409, 422),
        is_part=True,
    ),
    Operation(
        "PUT",
        f"{_DRAFT}/contents/{{digest}}",
        Access.RUNNER_OR_JOB,
        put_content,
        body=BYTES,
        problems=(422,),
        is_part=True,
    ),
    Operation(
        "POST",
        f"{_DRAFT}/commit",
        Access.RUNNER_OR_JOB,
        commit,
        body=Commit,
        answers={200: VersionView, 201: VersionView},
        problems=(409, 422),
    ),
    Operation("DELETE", _DRAFT, Access.RUNNER_OR_JOB, delete_draft, problems=(409,)),
)
