"""`/api/v1/datasets`: datasets and their versions, for people and for the jobs of their project.

New versions come by `agent.server.api.dataset_drafts`; who has read and made them is `agent.server.api.lineage`'s.
"""

from typing import Annotated

import msgspec
from starlette.responses import Response

from agent.server.data.dataset_views import DatasetView, FileView, VersionView
from agent.server.data.datasets import VersionPlace
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.downloads import redirect_or_send
from agent.server.http.operation import ANY, V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import Next, Page

_Description = Annotated[str, msgspec.Meta(max_length=1000)]


class NewDataset(msgspec.Struct, forbid_unknown_fields=True):
    """A dataset to make."""

    name: Annotated[str, msgspec.Meta(max_length=63)]
    description: _Description = ""


class DatasetChange(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be different."""

    description: _Description


class DatasetList(msgspec.Struct):
    """Datasets by name."""

    datasets: list[DatasetView]
    next: Next


class VersionList(msgspec.Struct):
    """Versions, newest first."""

    versions: list[VersionView]
    next: Next


class FileList(msgspec.Struct):
    """Files in the order of their paths' bytes."""

    files: list[FileView]
    next: Next


async def list_datasets(call: Call) -> Response:
    """The project's datasets by name, each with its newest version."""
    datasets = call.rooms.data.datasets
    return view_response(DatasetList(*await datasets.list_of(call.project.id, call.query(Page))))


async def add_dataset(call: Call) -> Response:
    """Make a dataset, which has no version yet."""
    body, changes = await call.body(NewDataset), call.rooms.data.dataset_changes
    made = await changes.create(call.project.id, body.name, body.description, call.caller)
    return view_response(made, 201)


async def show_dataset(call: Call) -> Response:
    """A dataset and its newest version."""
    return view_response(await call.rooms.data.datasets.load(call.project.id, call.text("name")))


async def change_dataset(call: Call) -> Response:
    """Change a dataset's description; its versions never change."""
    body, changes = await call.body(DatasetChange), call.rooms.data.dataset_changes
    return view_response(await changes.describe(call.project.id, call.text("name"), body.description))


async def delete_dataset(call: Call) -> Response:
    """Delete a dataset with all its versions."""
    await call.rooms.data.dataset_changes.remove(call.project.id, call.text("name"))
    return empty_response()


async def list_versions(call: Call) -> Response:
    """A dataset's versions, newest first."""
    datasets, name = call.rooms.data.datasets, call.text("name")
    return view_response(VersionList(*await datasets.list_versions(call.project.id, name, call.query(Page))))


async def show_version(call: Call) -> Response:
    """A version, by its number, a tag or `latest`."""
    return view_response(await call.rooms.data.datasets.load_version(version_of(call)))


async def delete_version(call: Call) -> Response:
    """Delete a version; its number is not given again."""
    await call.rooms.data.dataset_changes.remove_version(version_of(call))
    return empty_response()


async def list_files(call: Call) -> Response:
    """The files of a version. A job that asks has read it: its run's lineage says so."""
    datasets, page = call.rooms.data.datasets, call.query(Page)
    return view_response(FileList(*await datasets.list_files(version_of(call), page, call.caller)))


async def download_content(call: Call) -> Response:
    """The bytes of a file of the version, by their digest; `Range: bytes=N-` goes on where a download broke off."""
    datasets = call.rooms.data.datasets
    return await redirect_or_send(
        call, await datasets.find_content(version_of(call), call.text("digest"), call.caller)
    )


def version_of(call: Call) -> VersionPlace:
    """The version that the path names."""
    return VersionPlace(call.project.id, call.text("name"), call.text("version"))


DATASETS = f"{V1}/datasets"
DATASET = f"{DATASETS}/{{name}}"
VERSION = f"{DATASET}/versions/{{version}}"
OPERATIONS = (
    Operation("GET", DATASETS, Access.VIEWER_OR_JOB, list_datasets, query=Page, answers={200: DatasetList}),
    Operation(
        "POST",
        DATASETS,
        Access.RUNNER_OR_JOB,
        add_dataset,
        body=NewDataset,
        answers={201: DatasetView},
        problems=(409,),
    ),
    Operation("GET", DATASET, Access.VIEWER_OR_JOB, show_dataset, answers={200: DatasetView}),
    Operation(
        "PATCH", DATASET, Access.MAINTAINER, change_dataset, body=DatasetChange, answers={200: DatasetView}
    ),
    Operation("DELETE", DATASET, Access.MAINTAINER, delete_dataset),
    Operation(
        "GET",
        f"{DATASET}/versions",
        Access.VIEWER_OR_JOB,
        list_versions,
        query=Page,
        answers={200: VersionList},
    ),
    Operation("GET", VERSION, Access.VIEWER_OR_JOB, show_version, answers={200: VersionView}),
    Operation("DELETE", VERSION, Access.MAINTAINER, delete_version),
    Operation(
        "GET", f"{VERSION}/files", Access.VIEWER_OR_JOB, list_files, query=Page, answers={200: FileList}
    ),
    Operation(
        "GET",
        f"{VERSION}/contents/{{digest}}",
        Access.VIEWER_OR_JOB,
        download_content,
        answers={200: ANY, 206: ANY, 302: None},
    ),
)
