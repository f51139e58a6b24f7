"""Files of datasets, in versions and drafts, and the contents that a project has of them, each once."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import (
    dataset_blobs,
    dataset_files,
    dataset_usage,
    dataset_versions,
    datasets,
)
from agent.server.store.upsert import insert
from agent.spec.dataset import ManifestFile


@dataclass(frozen=True, slots=True)
class ContentRow:
    """Some file's bytes: the key under which they lie in the blob store."""

    digest: str
    blob: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file of a version or draft, and how many bytes of it are here; None: they have not arrived."""

    file: ManifestFile
    stored_bytes: int | None


async def name_files(connection: AsyncConnection, draft: int, files: Sequence[ManifestFile]) -> None:
    """Add files to a draft, or change what its paths mean."""
    statement = insert(connection, dataset_files)
    columns = ("digest", "size_bytes", "mode")
    statement = statement.on_conflict_do_update(
        index_elements=["version", "path"], set_={name: statement.excluded[name] for name in columns}
    )
    rows = [
        {"version": draft, "path": file.path, **{name: getattr(file, name) for name in columns}}
        for file in files
    ]
    await connection.execute(statement, rows)
    counted = update(dataset_versions).where(dataset_versions.c.id == draft)
    await connection.execute(counted.values(files=dataset_versions.c.files + len(rows)))


async def list_files(
    connection: AsyncConnection, project: int, version: int, *, after: str | None, limit: int
) -> list[NamedFile]:
    """The files of a version or draft in the order of their paths' bytes, behind `after`."""
    is_content = (dataset_blobs.c.project == project) & (dataset_blobs.c.digest == dataset_files.c.digest)
    query = (
        select(dataset_files, dataset_blobs.c.size_bytes.label("stored_bytes"))
        .outerjoin(dataset_blobs, is_content)
        .where(dataset_files.c.version == version)
        .order_by(dataset_files.c.path)
        .limit(limit)
    )
    if after is not None:
        query = query.where(dataset_files.c.path > after)
    return [
        NamedFile(ManifestFile(row.path, row.size_bytes, row.digest, row.mode), row.stored_bytes)
        for row in await connection.execute(query)
    ]


async def size_in(connection: AsyncConnection, version: int, digest: str) -> int | None:
    """How many bytes the version says that this content has; None when it has no such file."""
    query = select(dataset_files.c.size_bytes).where(
        dataset_files.c.version == version, dataset_files.c.digest == digest
    )
    return (await connection.execute(query.limit(1))).scalar_one_or_none()


async def known_sizes(connection: AsyncConnection, project: int, digests: Sequence[str]) -> dict[str, int]:
    """Those of `digests` whose bytes the project has, and how many these are."""
    query = select(dataset_blobs.c.digest, dataset_blobs.c.size_bytes).where(
        dataset_blobs.c.project == project, dataset_blobs.c.digest.in_(digests)
    )
    return {row.digest: row.size_bytes for row in await connection.execute(query)}


async def find_content(connection: AsyncConnection, project: int, digest: str) -> ContentRow | None:
    """Where the bytes with this digest are, when the project has them."""
    query = select(*_CONTENT).where(dataset_blobs.c.project == project, dataset_blobs.c.digest == digest)
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else ContentRow(**row)


async def add_content(connection: AsyncConnection, project: int, row: ContentRow, now: float) -> bool:
    """Bytes have arrived whole; False when the same ones are here already."""
    statement = insert(connection, dataset_blobs).values(
        project=project, digest=row.digest, blob=row.blob, size_bytes=row.size_bytes, created_at=now
    )
    is_new = (await connection.execute(statement.on_conflict_do_nothing())).rowcount == 1
    if is_new:
        await _count(connection, project, row.size_bytes)
    return is_new


async def used_bytes(connection: AsyncConnection, project: int) -> int:
    """The bytes of all contents of the project's datasets, each counted once."""
    query = select(dataset_usage.c.size_bytes).where(dataset_usage.c.project == project)
    return int((await connection.execute(query)).scalar_one_or_none() or 0)


async def list_unneeded(
    connection: AsyncConnection, project: int, *, going: Sequence[int] = (), after: str = "", limit: int
) -> list[ContentRow]:
    """Contents that no version and no draft names but those that are `going`, by digest, behind `after`."""
    query = (
        select(*_CONTENT)
        .where(dataset_blobs.c.project == project, dataset_blobs.c.digest > after, ~_needed(going).exists())
        .order_by(dataset_blobs.c.digest)
        .limit(limit)
    )
    return [ContentRow(**row) for row in (await connection.execute(query)).mappings()]


async def forget_contents(connection: AsyncConnection, project: int, rows: Sequence[ContentRow]) -> bool:
    """Forget contents. False when one of them is named again: then the caller undoes what it did."""
    statement = delete(dataset_blobs).where(
        dataset_blobs.c.project == project,
        dataset_blobs.c.blob.in_([row.blob for row in rows]),
        ~_needed().exists(),
    )
    is_done = (await connection.execute(statement)).rowcount == len(rows)
    if is_done:
        await _count(connection, project, -sum(row.size_bytes for row in rows))
    return is_done


_CONTENT = [dataset_blobs.c[name] for name in ContentRow.__slots__]


def _needed(going: Sequence[int] = ()) -> "Select[tuple[int]]":
    query = (
        select(dataset_files.c.version)
        .join(dataset_versions, dataset_versions.c.id == dataset_files.c.version)
        .join(datasets, datasets.c.id == dataset_versions.c.dataset)
        .where(
            dataset_files.c.digest == dataset_blobs.c.digest, datasets.c.project == dataset_blobs.c.project
        )
        .correlate(dataset_blobs)
    )
    return query.where(dataset_files.c.version.not_in(going)) if going else query


async def _count(connection: AsyncConnection, project: int, size_bytes: int) -> None:
    statement = insert(connection, dataset_usage).values(project=project, size_bytes=size_bytes)
    added = {"size_bytes": dataset_usage.c.size_bytes + statement.excluded.size_bytes}
    await connection.execute(statement.on_conflict_do_update(index_elements=["project"], set_=added))
