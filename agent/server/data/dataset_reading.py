"""Datasets as they are looked at: their versions, the files of these, and what was made from what. Each call is one snapshot.

All about one dataset or version raise NotFoundError.
"""

from collections.abc import Sequence

from agent.errors import NotFoundError
from agent.server.data.dataset_views import (
    DatasetView,
    FileView,
    UseView,
    VersionView,
    view_dataset,
    view_file,
    view_use,
    view_version,
)
from agent.server.data.datasets import CONTENT_HEADERS, Datasets, VersionPlace, find_dataset, find_named
from agent.server.data.shelves import Stored
from agent.server.people.auth.access import Caller
from agent.server.process.paging import Page, RowId, cut, next_cursor, part
from agent.server.store import dataset_files, datasets, lineage
from agent.server.store.database import Connection, Database
from agent.server.store.datasets import DatasetRow


class DatasetReading:
    """Reads datasets. A job that asks for files or contents has read the version: its run's lineage says so."""

    def __init__(self, database: Database, files: Datasets) -> None:
        self._database = database
        self._files = files

    async def list_of(self, project: int, page: Page) -> tuple[list[DatasetView], str | None]:
        """The project's datasets by name, each with its newest version."""
        async with self._database.read() as connection:
            found = await datasets.list_datasets(
                connection, project, after=page.after(str), limit=page.limit + 1
            )
            shown = cut(found, page.limit)
            latest = await datasets.latest_of(connection, [row.id for row in shown])
            tags = await datasets.tags_of(connection, [row.id for row in latest.values()])
        views = []
        for row in shown:
            version = latest.get(row.id)
            newest = None if version is None else view_version(row, version, tags.get(version.id, ()))
            views.append(view_dataset(row, newest))
        return views, next_cursor(found, page.limit, shown[-1].name if shown else "")

    async def load(self, project: int, name: str) -> DatasetView:
        """A dataset and its newest version."""
        async with self._database.read() as connection:
            return await load_view(connection, await find_dataset(connection, project, name))

    async def list_versions(
        self, project: int, name: str, page: Page
    ) -> tuple[list[VersionView], str | None]:
        """A dataset's versions, newest first."""
        async with self._database.read() as connection:
            dataset = await find_dataset(connection, project, name)
            found = await datasets.list_versions(
                connection, dataset.id, before=page.after(RowId), limit=page.limit + 1
            )
            shown = cut(found, page.limit)
            tags = await datasets.tags_of(connection, [row.id for row in shown])
        views = [view_version(dataset, row, tags.get(row.id, ())) for row in shown]
        return views, next_cursor(found, page.limit, shown[-1].number if shown else 0)

    async def load_version(self, place: VersionPlace) -> VersionView:
        """A version."""
        async with self._database.read() as connection:
            dataset, row = await find_named(connection, place)
            tags = await datasets.tags_of(connection, [row.id])
        return view_version(dataset, row, tags.get(row.id, ()))

    async def list_files(
        self, place: VersionPlace, page: Page, caller: Caller
    ) -> tuple[list[FileView], str | None]:
        """The files of a version, in the order of their paths' bytes."""
        async with self._database.read() as connection:
            _, version = await find_named(connection, place)
            found = await dataset_files.list_files(
                connection, place.project, version.id, after=page.after(str), limit=page.limit + 1
            )
        await self._files.note_read(caller, version)
        shown = cut(found, page.limit)
        after = next_cursor(found, page.limit, shown[-1].file.path if shown else "")
        return [view_file(named.file) for named in shown], after

    async def find_content(self, place: VersionPlace, digest: str, caller: Caller) -> Stored:
        """Where the bytes of a file of the version are, by their digest."""
        async with self._database.read() as connection:
            _, version = await find_named(connection, place)
            size = await dataset_files.size_in(connection, version.id, digest)
            content = await dataset_files.find_content(connection, place.project, digest)
        if size is None or content is None:
            raise NotFoundError("the version has no file with this digest", where=digest[:80])
        await self._files.note_read(caller, version)
        return Stored(version.id, content.blob, content.size_bytes, is_final=True, headers=CONTENT_HEADERS)

    async def load_lineage(
        self, place: VersionPlace, page: Page
    ) -> tuple[VersionView, list[UseView], list[UseView], str | None]:
        """A version; what the job that made it had read; and, in parts, the jobs that have read it, newest first."""
        before, inputs = page.after(tuple[int, str]), []
        async with self._database.read() as connection:
            dataset, row = await find_named(connection, place)
            tags = await datasets.tags_of(connection, [row.id])
            found = await lineage.list_readers(connection, row.id, before=before, limit=page.limit + 1)
            if row.run is not None and row.committed_at is not None:
                inputs = await lineage.list_inputs(connection, row.run, row.job, row.committed_at)
        shown = cut(found, page.limit)
        after = next_cursor(found, page.limit, (shown[-1].run, shown[-1].job) if shown else None)
        return view_version(dataset, row, tags.get(row.id, ())), _uses(inputs), _uses(shown), after

    async def list_of_run(self, run: int, page: Page) -> tuple[list[UseView], str | None]:
        """The versions that a run has read and made, in the order of time."""
        async with self._database.read() as connection:
            rows = await lineage.list_of_run(connection, run)
        shown, after = part(
            rows,
            page,
            lambda row: (row.time, row.version, row.direction, row.job),
            tuple[float, int, str, str],
        )
        return _uses(shown), after


async def load_view(connection: Connection, row: DatasetRow) -> DatasetView:
    """A dataset with its newest version."""
    latest = await datasets.find_latest(connection, row.id)
    if latest is None:
        return view_dataset(row, None)
    tags = await datasets.tags_of(connection, [latest.id])
    return view_dataset(row, view_version(row, latest, tags.get(latest.id, ())))


def _uses(rows: Sequence[lineage.UseRow]) -> list[UseView]:
    return [view_use(row) for row in rows]
