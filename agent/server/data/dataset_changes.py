"""Datasets as they are changed: made, described, deleted, and their drafts on the way to a version.

All about one dataset, version or draft raise NotFoundError.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from agent.server.data.dataset_commit import CommitOptions, commit_draft, commit_drafts
from agent.server.data.dataset_reading import load_view
from agent.server.data.dataset_views import DatasetView, VersionView, view_dataset, view_version
from agent.server.data.datasets import (
    Datasets,
    VersionPlace,
    begin_draft,
    check_may_write,
    create_dataset,
    find_dataset,
    find_draft,
    find_named,
)
from agent.server.events import audit
from agent.server.events.changes import Changes
from agent.server.people.auth.access import Caller
from agent.server.store import datasets
from agent.server.store.database import Connection
from agent.server.store.datasets import DatasetRow, VersionRow
from agent.server.store.projects import ProjectRow
from agent.spec.dataset import ManifestFile


@dataclass(frozen=True, slots=True)
class DraftPlace:
    """A draft of a dataset, and whose it must be."""

    project: ProjectRow
    dataset: str
    draft: int
    caller: Caller


class DatasetChanges:
    """Changes datasets. Raises RefusedError for jobs of runs that are not trusted."""

    def __init__(self, changes: Changes, files: Datasets) -> None:
        self._changes = changes
        self._files = files

    async def create(self, project: int, name: str, description: str, caller: Caller) -> DatasetView:
        """A new dataset, which has no version yet. Raises UsageError for its name, ConflictError when it is taken."""
        async with self._changes.begin() as change:
            actor = await check_may_write(change.connection, caller)
            audit.note(dataset=name)
            row = await create_dataset(change, project, name, description, actor)
        return view_dataset(row, None)

    async def describe(self, project: int, name: str, description: str) -> DatasetView:
        """Change a dataset's description; its versions never change."""
        async with self._changes.begin() as change:
            row = await find_dataset(change.connection, project, name)
            await datasets.describe_dataset(change.connection, row.id, description)
            row = await find_dataset(change.connection, project, row.name)
            return await load_view(change.connection, row)

    async def remove(self, project: int, name: str) -> None:
        """Delete a dataset with all its versions."""
        async with self._changes.begin() as change:
            row = await find_dataset(change.connection, project, name)
            await datasets.lock_contents(change.connection, row.project)
            await datasets.remove_dataset(change.connection, row.id)
        await self._files.sweep_contents(project)

    async def remove_version(self, place: VersionPlace) -> None:
        """Delete a version; its number is not given again."""
        async with self._changes.begin() as change:
            dataset, version = await find_named(change.connection, place)
            audit.note(dataset=dataset.name, version=version.number)
            await datasets.lock_contents(change.connection, dataset.project)
            await datasets.remove_versions(change.connection, [version.id])
        await self._files.sweep_contents(place.project)

    async def begin_draft(
        self, project: int, name: str, caller: Caller, *, message: str, metadata: Mapping[str, object]
    ) -> tuple[int, str]:
        """A draft of the dataset's next version, which is the caller's own: its number, and the dataset's name."""
        async with self._changes.begin() as change:
            dataset = await find_dataset(change.connection, project, name)
            audit.note(dataset=dataset.name)
            draft = await begin_draft(change, dataset, caller, message=message, metadata=metadata)
        return draft.id, dataset.name

    async def name_files(self, place: DraftPlace, files: Sequence[ManifestFile]) -> list[str]:
        """Name files of the draft: which of their contents are missing. Raises as `Datasets.name_files`."""
        return await self._files.name_files(place.project, await self._find_writable(place), files)

    async def store_content(self, place: DraftPlace, digest: str, chunks: AsyncIterator[bytes]) -> None:
        """Take the bytes of files that the draft names. Raises as `Datasets.store_content`."""
        await self._files.store_content(place.project, await self._find_writable(place), digest, chunks)

    async def commit(self, place: DraftPlace, wanted: CommitOptions) -> tuple[VersionView, bool]:
        """Make the draft the dataset's next version, once; False with it when it was there already. Raises as `commit_draft`."""
        async with self._changes.database.read() as connection:
            dataset, draft = await _find(connection, place)
        done = await commit_draft(self._changes, dataset, draft, place.caller, wanted)
        return view_version(dataset, done.version, done.tags), done.is_new

    async def commit_all(
        self, places: Sequence[DraftPlace], wanted: Sequence[CommitOptions]
    ) -> list[VersionView]:
        """Make the drafts the next versions of their datasets, all of them or none. Raises as `commit_draft`."""
        if not places:
            return []
        async with self._changes.database.read() as connection:
            drafts = [await _find(connection, place) for place in places]
        done = await commit_drafts(self._changes, drafts, places[0].caller, wanted)
        return [
            view_version(dataset, each.version, each.tags)
            for (dataset, _), each in zip(drafts, done, strict=True)
        ]

    async def give_up(self, place: DraftPlace) -> None:
        """Give a draft up. What it alone has named goes with the next retention."""
        async with self._changes.begin() as change:
            _, draft = await _find(change.connection, place)
            await datasets.lock_contents(change.connection, place.project.id)
            await datasets.forget_draft(change.connection, draft.id)

    async def _find_writable(self, place: DraftPlace) -> VersionRow:
        async with self._changes.database.read() as connection:
            _, draft = await _find(connection, place)
            await check_may_write(connection, place.caller)
        return draft


async def _find(connection: Connection, place: DraftPlace) -> tuple[DatasetRow, VersionRow]:
    dataset = await find_dataset(connection, place.project.id, place.dataset)
    return dataset, await find_draft(connection, dataset, place.draft, place.caller)
