"""A draft becomes a version: number, tags, lineage, the events that tell of it; all in one transaction, and once."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from agent.errors import UsageError
from agent.server.data.dataset_views import view_version
from agent.server.data.datasets import Contents, check_may_write, read_contents
from agent.server.events import audit
from agent.server.events.changes import Change, Changes
from agent.server.events.views import json_text
from agent.server.people.auth.access import Caller
from agent.server.process.problems import ConflictError
from agent.server.runs.platform_events import PlatformEvent, emit
from agent.server.store import datasets, tags
from agent.server.store.database import Database
from agent.server.store.datasets import TAGGED, DatasetRow, VersionRow
from agent.server.store.tags import TagRow
from agent.spec.dataset import check_tag


@dataclass(frozen=True, slots=True)
class CommitOptions:
    """How a draft is to be committed. `digest`: what its manifest must have; empty: whatever it has.

    `unless_same`: when the newest version has the same files, that one is it, and no new one is made.
    """

    digest: str = ""
    tags: Sequence[str] = ()
    unless_same: bool = False


@dataclass(frozen=True, slots=True)
class Committed:
    """The version that a draft has become, or (`is_new` False) that was there already."""

    version: VersionRow
    tags: Sequence[str]
    is_new: bool


async def commit_draft(
    changes: Changes, dataset: DatasetRow, draft: VersionRow, caller: Caller, wanted: CommitOptions
) -> Committed:
    """Make the caller's draft a version; once more gives the same one.

    Raises ConflictError when contents are missing or the draft was changed meanwhile, UsageError, RefusedError.
    """
    for tag in wanted.tags:
        check_tag(tag)
    if draft.number is not None:
        return await _known(changes.database, draft)
    contents = await read_contents(changes.database, dataset.project, draft)
    if wanted.digest not in ("", contents.digest):
        raise UsageError(f"the draft's files have the digest {contents.digest}", where=wanted.digest)
    async with changes.begin() as change:
        return await _commit(change, dataset, draft, caller, wanted, contents)


async def commit_drafts(
    changes: Changes,
    drafts: Sequence[tuple[DatasetRow, VersionRow]],
    caller: Caller,
    wanted: Sequence[CommitOptions],
) -> list[Committed]:
    """Make several drafts of the caller's versions, all or none; once more gives the same ones. Raises as `commit_draft`."""
    contents = []
    for (dataset, draft), options in zip(drafts, wanted, strict=True):
        for tag in options.tags:
            check_tag(tag)
        contents.append(await read_contents(changes.database, dataset.project, draft))
    async with changes.begin() as change:
        return [
            await _commit(change, dataset, draft, caller, options, read)
            for (dataset, draft), options, read in zip(drafts, wanted, contents, strict=True)
        ]


async def put_tag(change: Change, dataset: DatasetRow, version: VersionRow, tag: str, actor: str) -> TagRow:
    """Put a tag on a version, and take it off the dataset's others. Raises UsageError."""
    row = TagRow(TAGGED, version.id, check_tag(tag), dataset.project, actor, change.now)
    await datasets.lock_contents(change.connection, dataset.project)
    await datasets.move_tag_here(change.connection, dataset.id, tag, version.id)
    await tags.add_tag(change.connection, row)
    return row


async def _commit(
    change: Change,
    dataset: DatasetRow,
    draft: VersionRow,
    caller: Caller,
    wanted: CommitOptions,
    contents: Contents,
) -> Committed:
    if draft.run is not None:
        await change.lock_run(draft.run)  # the first of all locks, as it is told of the run
    await datasets.lock_contents(change.connection, dataset.project)
    actor = await check_may_write(change.connection, caller)
    found = await datasets.find_version(change.connection, draft.id)
    if found is None or (found.number is None and found.files != draft.files):
        raise ConflictError("the draft was changed or deleted meanwhile", hint="commit it again")
    if found.number is not None:
        version, is_new = found, False
    else:
        version, is_new = await _settle(change, found, contents, unless_same=wanted.unless_same)
    for tag in wanted.tags:
        await put_tag(change, dataset, version, tag, actor)
    named = (await datasets.tags_of(change.connection, [version.id])).get(version.id, [])
    audit.note(dataset=dataset.name, version=version.number, tags=list(wanted.tags))
    if is_new:
        await _tell(change, dataset, version, named)
    return Committed(version, named, is_new)


async def _settle(
    change: Change, draft: VersionRow, contents: Contents, *, unless_same: bool
) -> tuple[VersionRow, bool]:
    """The version that the draft becomes, and whether it is a new one."""
    latest = await datasets.find_latest(change.connection, draft.dataset) if unless_same else None
    if latest is not None and latest.digest == contents.digest:
        await datasets.remove_versions(change.connection, [draft.id])
        return latest, False
    await datasets.commit_draft(
        change.connection,
        draft,
        digest=contents.digest,
        files=contents.files,
        size_bytes=contents.size_bytes,
        now=change.now,
    )
    version = await datasets.find_version(change.connection, draft.id)
    assert version is not None
    return version, True


async def _known(database: Database, version: VersionRow) -> Committed:
    async with database.read() as connection:
        named = (await datasets.tags_of(connection, [version.id])).get(version.id, [])
    return Committed(version, named, is_new=False)


async def _tell(change: Change, dataset: DatasetRow, version: VersionRow, named: Sequence[str]) -> None:
    """Flows that wait for `dataset_version` start; who follows the run that made it sees it."""
    view = view_version(dataset, version, named)
    if version.run is not None:
        await change.tell_dataset(dataset.project, version.run, json_text(view))
    event = PlatformEvent(
        "dataset_version",
        {"dataset": dataset.name, "version": msgspec.to_builtins(view)},
        names=(dataset.name,),
        versions=(str(version.number), *named),
        project=dataset.project,
        run=version.run,
    )
    await emit(change, event)
