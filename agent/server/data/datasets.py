"""Datasets: folders of files in versions that never change.

    a draft -> its files are named (the answer says which contents are missing) -> these are sent -> commit: a version

A content is stored once in a project, whatever names it. What a draft names stays, however long the upload takes: so a
push that was broken off goes on where it stopped. A commit is one transaction; before it nobody sees anything.
"""

import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from agent.clock import Clock
from agent.errors import NotFoundError, RefusedError, UsageError
from agent.server.data.blobs.store import BlobStore
from agent.server.events.changes import Change
from agent.server.people.accounts import check_name
from agent.server.people.auth.access import Caller
from agent.server.process.limits import ServerLimits
from agent.server.process.problems import ConflictError, TooLargeError
from agent.server.store import dataset_files, datasets, deliveries, lineage, runs
from agent.server.store.database import Connection, Database
from agent.server.store.dataset_files import ContentRow
from agent.server.store.datasets import DatasetRow, VersionRow
from agent.server.store.projects import ProjectRow
from agent.spec.dataset import LATEST, ManifestDigest, ManifestFile, check_file, version_number

# What a content is when it is downloaded, from us or from a bucket: a file to save, whatever is in it.
CONTENT_HEADERS: Mapping[str, str] = MappingProxyType(
    {"Content-Type": "application/octet-stream", "Content-Disposition": "attachment"}
)
_LONGEST_METADATA = 64 << 10
_FILES_AT_ONCE = 2000
_SWEPT_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class VersionPlace:
    """A version of a project's dataset as a path names it: by its number, a tag or `latest`."""

    project: int
    dataset: str
    version: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a draft, once all of it has arrived."""

    digest: str
    files: int
    size_bytes: int


async def find_dataset(connection: Connection, project: int, name: str) -> DatasetRow:
    """The project's dataset. Raises NotFoundError."""
    row = await datasets.find_dataset(connection, project, name)
    if row is None:
        raise NotFoundError(
            f"there is no dataset '{name[:80]}'", hint="`agent dataset list` shows those of a project"
        )
    return row


async def find_version(connection: Connection, dataset: DatasetRow, version: str) -> VersionRow:
    """The version that a number, a tag or `latest` means. Raises NotFoundError."""
    number = version_number(version)
    if number is not None:
        row = await datasets.find_by_number(connection, dataset.id, number)
    elif version == LATEST:
        row = await datasets.find_latest(connection, dataset.id)
    else:
        row = await datasets.find_tagged(connection, dataset.id, version)
    if row is None:
        raise NotFoundError(
            f"there is no version '{version[:80]}' of dataset '{dataset.name}'",
            hint=f"`agent dataset show {dataset.name}` lists them",
        )
    return row


async def find_named(connection: Connection, place: VersionPlace) -> tuple[DatasetRow, VersionRow]:
    """The dataset and the version that are named. Raises NotFoundError."""
    row = await find_dataset(connection, place.project, place.dataset)
    return row, await find_version(connection, row, place.version)


async def create_dataset(change: Change, project: int, name: str, description: str, actor: str) -> DatasetRow:
    """A new dataset. Raises UsageError for its name, ConflictError when it is taken."""
    check_name(name, "dataset")
    made = await datasets.add_dataset(
        change.connection, project, name, description=description, actor=actor, now=change.now
    )
    if made is None:
        raise ConflictError(f"there is a dataset '{name}' already")
    return await find_dataset(change.connection, project, name)


async def check_may_write(connection: Connection, caller: Caller) -> str:
    """Who the caller is, for people: a user, or who has started the job's run.

    Raises RefusedError for a job of a run that is not trusted: what a fork's request has made is no data of the project.
    """
    if caller.job is None:
        return caller.name
    origin = await deliveries.find_origin(connection, caller.job.run)
    if origin is not None and not origin.is_trusted:
        raise RefusedError(
            "a run that is not trusted may not write datasets",
            where=f"run {caller.job.run}",
            hint="it may read them",
        )
    run = await runs.find_run(connection, caller.job.run)
    return run.actor if run is not None else caller.name


async def begin_draft(
    change: Change, dataset: DatasetRow, caller: Caller, *, message: str, metadata: Mapping[str, object]
) -> VersionRow:
    """A draft of the next version, which is the caller's own. Raises RefusedError, UsageError."""
    text = json.dumps(metadata)
    if len(text) > _LONGEST_METADATA:
        raise UsageError(f"the metadata is over {_LONGEST_METADATA} bytes", where="metadata")
    draft = await datasets.add_draft(
        change.connection,
        dataset.id,
        owner=caller.owner,
        actor=await check_may_write(change.connection, caller),
        message=message,
        metadata=text,
        run=caller.job.run if caller.job else None,
        job=caller.job.job if caller.job else "",
        created_at=change.now,
    )
    row = await datasets.find_version(change.connection, draft)
    assert row is not None
    return row


async def find_draft(connection: Connection, dataset: DatasetRow, draft: int, caller: Caller) -> VersionRow:
    """The caller's own draft, or what has become of it. Raises NotFoundError."""
    row = await datasets.find_version(connection, draft)
    if row is None or row.dataset != dataset.id or row.owner != caller.owner:
        raise NotFoundError(f"you have no draft {draft} of dataset '{dataset.name}'", hint="begin a new one")
    return row


class Datasets:
    """The files of datasets, as they come and go."""

    def __init__(self, database: Database, blobs: BlobStore, clock: Clock, limits: ServerLimits) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._limits = limits

    async def name_files(
        self, project: ProjectRow, draft: VersionRow, files: Sequence[ManifestFile]
    ) -> list[str]:
        """Add files to a draft: the digests of those contents that are still to be sent.

        Raises UsageError for what can't be a file, ConflictError for a draft that is committed, TooLargeError.
        """
        sizes = _sizes_of(files)
        limits = self._limits
        if draft.files + len(files) > limits.dataset_files:
            raise TooLargeError(f"a version of a dataset has up to {limits.dataset_files} files")
        async with self._database.write() as connection:
            await datasets.lock_contents(connection, project.id)
            await _check_open(connection, draft)
            known = await dataset_files.known_sizes(connection, project.id, list(sizes))
            for digest, size in known.items():
                if sizes[digest] != size:
                    raise UsageError(f"this content has {size} bytes, not {sizes[digest]}", where=digest)
            missing = [digest for digest in sizes if digest not in known]
            used = await dataset_files.used_bytes(connection, project.id)
            _check_room(project, used + sum(sizes[digest] for digest in missing))
            await dataset_files.name_files(connection, draft.id, files)
        return missing

    async def store_content(
        self, project: ProjectRow, draft: VersionRow, digest: str, chunks: AsyncIterator[bytes]
    ) -> None:
        """Take the bytes of a file that the draft names; sent twice, or by two at once, they are stored once.

        Raises NotFoundError when the draft names no such file, DamagedError, TooLargeError, UsageError for another size.
        """
        async with self._database.read() as connection:
            size = await dataset_files.size_in(connection, draft.id, digest)
            is_known = await dataset_files.find_content(connection, project.id, digest) is not None
            used = await dataset_files.used_bytes(connection, project.id)
        if size is None:
            raise NotFoundError("the draft names no file with this digest", where=digest)
        if is_known:
            await _drain(chunks, size)
            return
        _check_room(project, used + size)
        key = f"datasets/{project.id}/{digest.removeprefix('sha256:')}-{secrets.token_hex(8)}"
        written = await self._blobs.write(
            key,
            chunks,
            limit_bytes=min(size, self._limits.dataset_file_bytes),
            digest=digest,
            headers=CONTENT_HEADERS,
        )
        is_kept = False
        try:
            if written.size_bytes != size:
                raise UsageError(f"this content has {written.size_bytes} bytes, not {size}", where=digest)
            async with self._database.write() as connection:
                row = ContentRow(digest, key, size)
                is_new = await dataset_files.add_content(connection, project.id, row, self._clock.now())
                _check_room(project, await dataset_files.used_bytes(connection, project.id))
            is_kept = is_new
        finally:
            if not is_kept:
                await self._blobs.remove(key)

    async def note_read(self, caller: Caller, version: VersionRow) -> None:
        """A job reads the version: its run's lineage says so from now on."""
        if caller.job is None:
            return
        run, job = caller.job.run, caller.job.job
        async with self._database.read() as connection:
            is_known = await lineage.has_read(connection, version.id, run, job)
        if not is_known:
            async with self._database.write() as connection:
                await lineage.note_read(connection, version.id, run, job, self._clock.now())

    async def sweep_contents(self, project: int) -> None:
        """Remove the contents that nothing names any more."""
        while True:
            async with self._database.write() as connection:
                await datasets.lock_contents(connection, project)
                rows = await dataset_files.list_unneeded(connection, project, limit=_SWEPT_AT_ONCE)
                if rows:
                    await dataset_files.forget_contents(connection, project, rows)
            for row in rows:
                await self._blobs.remove(row.blob)
            if len(rows) < _SWEPT_AT_ONCE:
                return


async def read_contents(database: Database, project: int, draft: VersionRow) -> Contents:
    """What the draft holds. Raises ConflictError when something has not arrived, UsageError when it is no tree of files."""
    manifest, missing, after = ManifestDigest(), 0, None
    async with database.read() as connection:
        while True:
            found = await dataset_files.list_files(
                connection, project, draft.id, after=after, limit=_FILES_AT_ONCE
            )
            for named in found:
                manifest.add(named.file)
                missing += named.stored_bytes is None
                if named.stored_bytes not in (None, named.file.size_bytes):
                    raise UsageError(f"this content has {named.stored_bytes} bytes", where=named.file.path)
            if len(found) < _FILES_AT_ONCE:
                break
            after = found[-1].file.path
    if missing:
        raise ConflictError(
            f"{missing} of {manifest.files} files have not arrived",
            hint="name the files once more: the answer says which contents are missing",
        )
    return Contents(manifest.text(), manifest.files, manifest.size_bytes)


def _sizes_of(files: Sequence[ManifestFile]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    paths = set()
    for file in files:
        check_file(file)
        if file.path in paths:
            raise UsageError("a path is there twice", where=file.path)
        paths.add(file.path)
        if sizes.setdefault(file.digest, file.size_bytes) != file.size_bytes:
            raise UsageError("one content has two sizes", where=file.path)
    return sizes


async def _check_open(connection: Connection, draft: VersionRow) -> None:
    row = await datasets.find_version(connection, draft.id)
    if row is None or row.number is not None:
        raise ConflictError("the draft is committed or deleted; nothing can be added", hint="begin a new one")


def _check_room(project: ProjectRow, size_bytes: int) -> None:
    most = project.settings.max_dataset_bytes
    if most is not None and size_bytes > most:
        raise TooLargeError(
            f"the project's datasets have room for {most} bytes",
            hint="delete versions that nobody needs, or ask an admin of the organisation for more",
        )


async def _drain(chunks: AsyncIterator[bytes], limit_bytes: int) -> None:
    """Let the sender finish: one that is answered in the middle may not hear it."""
    async for chunk in chunks:
        limit_bytes -= len(chunk)
        if limit_bytes < 0:
            return
