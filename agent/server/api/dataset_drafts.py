"""`/api/v1/datasets/NAME/drafts`: how a new version comes to be.

    POST drafts -> POST drafts/N/files (the answer says what is missing) -> PUT drafts/N/contents/DIGEST -> POST drafts/N/commit

All of it may be sent again without harm.
"""

from typing import Annotated

import msgspec
from starlette.responses import Response

from agent.server.api.datasets import DATASET
from agent.server.data.dataset_changes import DraftPlace
from agent.server.data.dataset_commit import CommitOptions
from agent.server.data.dataset_views import Digest, FileView, VersionView
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import BYTES, V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import RowId
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


class NamedDraft(msgspec.Struct, forbid_unknown_fields=True):
    """A draft of a dataset, and the tags for what it becomes."""

    dataset: Annotated[str, msgspec.Meta(max_length=63)]
    draft: RowId
    tags: Annotated[list[str], msgspec.Meta(max_length=20)] = []


class CommitTogether(msgspec.Struct, forbid_unknown_fields=True):
    """Drafts that become versions together, or not at all."""

    drafts: Annotated[list[NamedDraft], msgspec.Meta(min_length=1, max_length=100)]


class VersionsMade(msgspec.Struct):
    """The versions, in the order of the drafts."""

    versions: list[VersionView]


async def add_draft(call: Call) -> Response:
    """Begin a new version of a dataset."""
    body, changes = await call.body(NewDraft), call.rooms.data.dataset_changes
    number, dataset = await changes.begin_draft(
        call.project.id, call.text("name"), call.caller, message=body.message, metadata=body.metadata
    )
    return view_response(DraftView(number, dataset), 201)


async def add_files(call: Call) -> Response:
    """Name files of the draft: the answer says which of their contents are missing."""
    body = await call.body(DraftFiles)
    files = [ManifestFile(file.path, file.size_bytes, file.digest, file.mode) for file in body.files]
    return view_response(
        MissingView(await call.rooms.data.dataset_changes.name_files(_draft_of(call), files))
    )


async def put_content(call: Call) -> Response:
    """Send the bytes of files that the draft names; they are held against the digest."""
    changes = call.rooms.data.dataset_changes
    await changes.store_content(_draft_of(call), call.text("digest"), call.request.stream())
    return empty_response()


async def commit(call: Call) -> Response:
    """Make the draft the dataset's next version: 201. Sent again it gives the same version: 200."""
    body = await call.body(Commit)
    wanted = CommitOptions(body.digest, body.tags, body.unless_same)
    view, is_new = await call.rooms.data.dataset_changes.commit(_draft_of(call), wanted)
    return view_response(view, 201 if is_new else 200)


async def commit_together(call: Call) -> Response:
    """Make drafts of several datasets versions, all of them in one transaction. Sent again it gives the same versions."""
    body = await call.body(CommitTogether)
    places = [DraftPlace(call.project, each.dataset, each.draft, call.caller) for each in body.drafts]
    wanted = [CommitOptions(tags=each.tags) for each in body.drafts]
    return view_response(VersionsMade(await call.rooms.data.dataset_changes.commit_all(places, wanted)))


async def delete_draft(call: Call) -> Response:
    """Give a draft up. What it alone has named goes with the next retention."""
    await call.rooms.data.dataset_changes.give_up(_draft_of(call))
    return empty_response()


def _draft_of(call: Call) -> DraftPlace:
    return DraftPlace(call.project, call.text("name"), call.number("draft"), call.caller)


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
    Operation(
        "POST",
        f"{V1}/dataset-drafts/commit",
        Access.RUNNER_OR_JOB,
        commit_together,
        body=CommitTogether,
        answers={200: VersionsMade},
        problems=(409, 422),
    ),
    Operation("DELETE", _DRAFT, Access.RUNNER_OR_JOB, delete_draft, problems=(409,)),
)
