"""`/api/v1/datasets`: datasets and their versions, for people and for the jobs of their project.

New versions come by `agent.server.api.dataset_drafts`; who has read and made them is `agent.server.api.lineage`'s.
"""

from typing import Annotated

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError
from agent.server.data.dataset_views import (
    DatasetView,
    FileView,
    VersionView,
    view_dataset,
    view_file,
    view_version,
)
from agent.server.data.datasets import (
    CONTENT_HEADERS,
    check_may_write,
    create_dataset,
    find_dataset,
    find_version,
)
from agent.server.events import audit
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import ANY, V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import Next, Page, RowId, cut, next_cursor
from agent.server.store import dataset_files, datasets
from agent.server.store.database import Connection
from agent.server.store.datasets import DatasetRow, VersionRow
from agent.server.toolkit.blobs import read_start, redirect_or_send
from agent.server.toolkit.shelves import Stored

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
    page = call.query(Page)
    async with call.rooms.database.read() as connection:
        found = await datasets.list_datasets(
            connection, call.project.id, after=page.after(str), limit=page.limit + 1
        )
        shown = cut(found, page.limit)
        latest = await datasets.latest_of(connection, [row.id for row in shown])
        tags = await datasets.tags_of(connection, [row.id for row in latest.values()])
    views = []
    for row in shown:
        version = latest.get(row.id)
        newest = None if version is None else view_version(row, version, tags.get(version.id, ()))
        views.append(view_dataset(row, newest))
    after = next_cursor(found, page.limit, shown[-1].name if shown else "")
    return view_response(DatasetList(views, after))


async def add_dataset(call: Call) -> Response:
    """Make a dataset, which has no version yet."""
    body = await call.body(NewDataset)
    async with call.rooms.changes.begin() as change:
        actor = await check_may_write(change.connection, call.caller)
        audit.note(dataset=body.name)
        row = await create_dataset(change, call.project.id, body.name, body.description, actor)
    return view_response(view_dataset(row, None), 201)


async def show_dataset(call: Call) -> Response:
    """A dataset and its newest version."""
    async with call.rooms.database.read() as connection:
        row = await find_dataset(connection, call.project.id, call.text("name"))
        return view_response(await _view(connection, row))


async def change_dataset(call: Call) -> Response:
    """Change a dataset's description; its versions never change."""
    body = await call.body(DatasetChange)
    async with call.rooms.changes.begin() as change:
        row = await find_dataset(change.connection, call.project.id, call.text("name"))
        await datasets.describe_dataset(change.connection, row.id, body.description)
        row = await find_dataset(change.connection, call.project.id, row.name)
        view = await _view(change.connection, row)
    return view_response(view)


async def delete_dataset(call: Call) -> Response:
    """Delete a dataset with all its versions."""
    async with call.rooms.changes.begin() as change:
        row = await find_dataset(change.connection, call.project.id, call.text("name"))
        await datasets.lock_contents(change.connection, row.project)
        await datasets.remove_dataset(change.connection, row.id)
    await call.rooms.data.datasets.sweep_contents(call.project.id)
    return empty_response()


async def list_versions(call: Call) -> Response:
    """A dataset's versions, newest first."""
    page = call.query(Page)
    async with call.rooms.database.read() as connection:
        dataset = await find_dataset(connection, call.project.id, call.text("name"))
        found = await datasets.list_versions(
            connection, dataset.id, before=page.after(RowId), limit=page.limit + 1
        )
        shown = cut(found, page.limit)
        tags = await datasets.tags_of(connection, [row.id for row in shown])
    views = [view_version(dataset, row, tags.get(row.id, ())) for row in shown]
    return view_response(VersionList(views, next_cursor(found, page.limit, shown[-1].number if shown else 0)))


async def show_version(call: Call) -> Response:
    """A version, by its number, a tag or `latest`."""
    async with call.rooms.database.read() as connection:
        dataset, version = await find_named(connection, call)
        tags = await datasets.tags_of(connection, [version.id])
    return view_response(view_version(dataset, version, tags.get(version.id, ())))


async def delete_version(call: Call) -> Response:
    """Delete a version; its number is not given again."""
    async with call.rooms.changes.begin() as change:
        dataset, version = await find_named(change.connection, call)
        audit.note(dataset=dataset.name, version=version.number)
        await datasets.lock_contents(change.connection, dataset.project)
        await datasets.remove_versions(change.connection, [version.id])
    await call.rooms.data.datasets.sweep_contents(call.project.id)
    return empty_response()


async def list_files(call: Call) -> Response:
    """The files of a version. A job that asks has read it: its run's lineage says so."""
    page = call.query(Page)
    async with call.rooms.database.read() as connection:
        _, version = await find_named(connection, call)
        found = await dataset_files.list_files(
            connection, call.project.id, version.id, after=page.after(str), limit=page.limit + 1
        )
    await call.rooms.data.datasets.note_read(call.caller, version)
    shown = cut(found, page.limit)
    after = next_cursor(found, page.limit, shown[-1].file.path if shown else "")
    return view_response(FileList([view_file(named.file) for named in shown], after))


async def download_content(call: Call) -> Response:
    """The bytes of a file of the version, by their digest; `Range: bytes=N-` goes on where a download broke off."""
    digest = call.text("digest")
    async with call.rooms.database.read() as connection:
        _, version = await find_named(connection, call)
        size = await dataset_files.size_in(connection, version.id, digest)
        content = await dataset_files.find_content(connection, call.project.id, digest)
    if size is None or content is None:
        raise NotFoundError("the version has no file with this digest", where=digest[:80])
    await call.rooms.data.datasets.note_read(call.caller, version)
    stored = Stored(version.id, content.blob, content.size_bytes, is_final=True, headers=CONTENT_HEADERS)
    return await redirect_or_send(call.rooms, stored, read_start(call, stored.size_bytes))


async def find_named(connection: Connection, call: Call) -> tuple[DatasetRow, VersionRow]:
    """The dataset and the version that the path names. Raises NotFoundError."""
    dataset = await find_dataset(connection, call.project.id, call.text("name"))
    return dataset, await find_version(connection, dataset, call.text("version"))


async def _view(connection: Connection, row: DatasetRow) -> DatasetView:
    latest = await datasets.find_latest(connection, row.id)
    if latest is None:
        return view_dataset(row, None)
    tags = await datasets.tags_of(connection, [latest.id])
    return view_dataset(row, view_version(row, latest, tags.get(latest.id, ())))


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
