"""Datasets and their versions.

draft --commit: gets the next number--> committed (never changes; only goes as a whole)
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.locks import lock_name
from agent.server.store.schema import dataset_files, dataset_reads, dataset_versions, datasets, tags
from agent.server.store.upsert import insert as insert_or

TAGGED = "dataset_version"  # the kind of thing that tags call a version


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """A dataset. `last_version` is the number that was given last; its version may have gone."""

    id: int
    project: int
    name: str
    description: str
    actor: str
    created_at: float
    last_version: int


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version, or (`number` None) a draft. `metadata` is JSON text; `run` is the run that made it."""

    id: int
    dataset: int
    number: int | None
    owner: str
    actor: str
    message: str
    metadata: str
    digest: str
    files: int
    size_bytes: int
    run: int | None
    job: str
    created_at: float
    committed_at: float | None


async def lock_contents(connection: AsyncConnection, project: int) -> None:
    """Be the only one who names or forgets contents of the project's datasets until this transaction ends.

    So a file that a draft names, and that is here already, stays.
    """
    await lock_name(connection, f"datasets/{project}")


async def add_dataset(
    connection: AsyncConnection, project: int, name: str, *, description: str, actor: str, now: float
) -> int | None:
    """A new dataset's id, or None when the name is taken."""
    new = insert_or(connection, datasets).values(
        project=project, name=name, description=description, actor=actor, created_at=now, last_version=0
    )
    statement = new.on_conflict_do_nothing(index_elements=["project", "name"]).returning(datasets.c.id)
    found: int | None = (await connection.execute(statement)).scalar_one_or_none()
    return found


async def find_dataset(connection: AsyncConnection, project: int, name: str) -> DatasetRow | None:
    """The project's dataset of this name."""
    query = select(datasets).where(datasets.c.project == project, datasets.c.name == name)
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else DatasetRow(**row)


async def list_datasets(
    connection: AsyncConnection, project: int, *, after: str | None, limit: int
) -> list[DatasetRow]:
    """The project's datasets by name, behind `after`."""
    query = select(datasets).where(datasets.c.project == project).order_by(datasets.c.name).limit(limit)
    if after is not None:
        query = query.where(datasets.c.name > after)
    return [DatasetRow(**row) for row in (await connection.execute(query)).mappings()]


async def describe_dataset(connection: AsyncConnection, dataset: int, description: str) -> None:
    """Change the description."""
    await connection.execute(update(datasets).where(datasets.c.id == dataset).values(description=description))


async def remove_dataset(connection: AsyncConnection, dataset: int) -> None:
    """Forget a dataset with all its versions and drafts. What is in them is swept afterwards."""
    query = select(dataset_versions.c.id).where(dataset_versions.c.dataset == dataset)
    ids = list((await connection.execute(query)).scalars())
    await remove_versions(connection, ids)
    await connection.execute(delete(datasets).where(datasets.c.id == dataset))


async def add_draft(connection: AsyncConnection, dataset: int, **values: object) -> int:
    """A new draft: its id."""
    new = insert(dataset_versions).values(dataset=dataset, digest="", files=0, size_bytes=0, **values)
    return int((await connection.execute(new.returning(dataset_versions.c.id))).scalar_one())


async def find_version(connection: AsyncConnection, version: int) -> VersionRow | None:
    """The version or draft with this id."""
    return await _one(connection, select(dataset_versions).where(dataset_versions.c.id == version))


async def find_by_number(connection: AsyncConnection, dataset: int, number: int) -> VersionRow | None:
    """The dataset's version with this number."""
    query = _committed(dataset).where(dataset_versions.c.number == number)
    return await _one(connection, query)


async def find_latest(connection: AsyncConnection, dataset: int) -> VersionRow | None:
    """The dataset's newest version."""
    query = _committed(dataset).order_by(dataset_versions.c.number.desc()).limit(1)
    return await _one(connection, query)


async def find_tagged(connection: AsyncConnection, dataset: int, tag: str) -> VersionRow | None:
    """The dataset's version that has the tag."""
    query = _committed(dataset).join(tags, tags.c.thing == dataset_versions.c.id)
    query = query.where(tags.c.kind == TAGGED, tags.c.tag == tag)
    return await _one(connection, query.order_by(dataset_versions.c.number.desc()).limit(1))


async def list_versions(
    connection: AsyncConnection, dataset: int, *, before: int | None, limit: int
) -> list[VersionRow]:
    """The dataset's versions, newest first, with a number below `before`."""
    query = _committed(dataset).order_by(dataset_versions.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(dataset_versions.c.number < before)
    return [VersionRow(**row) for row in (await connection.execute(query)).mappings()]


async def latest_of(connection: AsyncConnection, ids: Sequence[int]) -> dict[int, VersionRow]:
    """The newest version of each of these datasets that has one."""
    newest = (
        select(dataset_versions.c.dataset, func.max(dataset_versions.c.number).label("number"))
        .where(dataset_versions.c.dataset.in_(ids), dataset_versions.c.number.is_not(None))
        .group_by(dataset_versions.c.dataset)
        .subquery()
    )
    query = select(dataset_versions).join(
        newest,
        (newest.c.dataset == dataset_versions.c.dataset) & (newest.c.number == dataset_versions.c.number),
    )
    rows = [VersionRow(**row) for row in (await connection.execute(query)).mappings()]
    return {row.dataset: row for row in rows}


async def tags_of(connection: AsyncConnection, ids: Sequence[int]) -> dict[int, list[str]]:
    """The tags of each of these versions, by name."""
    query = select(tags.c.thing, tags.c.tag).where(tags.c.kind == TAGGED, tags.c.thing.in_(ids))
    found: dict[int, list[str]] = {}
    for row in await connection.execute(query.order_by(tags.c.tag)):
        found.setdefault(row.thing, []).append(row.tag)
    return found


async def move_tag_here(connection: AsyncConnection, dataset: int, tag: str, version: int) -> None:
    """Take the tag off the dataset's other versions: a reference by tag means one."""
    others = select(dataset_versions.c.id).where(
        dataset_versions.c.dataset == dataset, dataset_versions.c.id != version
    )
    await connection.execute(
        delete(tags).where(tags.c.kind == TAGGED, tags.c.tag == tag, tags.c.thing.in_(others))
    )


async def commit_draft(
    connection: AsyncConnection, draft: VersionRow, *, digest: str, files: int, size_bytes: int, now: float
) -> int:
    """Make the draft the dataset's next version: its number. The caller holds `lock_contents`."""
    counted = update(datasets).where(datasets.c.id == draft.dataset)
    counted = counted.values(last_version=datasets.c.last_version + 1)
    number = int((await connection.execute(counted.returning(datasets.c.last_version))).scalar_one())
    statement = update(dataset_versions).where(
        dataset_versions.c.id == draft.id, dataset_versions.c.number.is_(None)
    )
    await connection.execute(
        statement.values(number=number, digest=digest, files=files, size_bytes=size_bytes, committed_at=now)
    )
    return number


async def forget_draft(connection: AsyncConnection, draft: int) -> None:
    """Forget a draft; a version stays."""
    query = select(dataset_versions.c.id).where(
        dataset_versions.c.id == draft, dataset_versions.c.number.is_(None)
    )
    await remove_versions(connection, list((await connection.execute(query)).scalars()))


async def remove_versions(connection: AsyncConnection, ids: Sequence[int]) -> None:
    """Forget versions or drafts, with their tags and who has read them."""
    await connection.execute(delete(tags).where(tags.c.kind == TAGGED, tags.c.thing.in_(ids)))
    for table in (dataset_files, dataset_reads):
        await connection.execute(delete(table).where(table.c.version.in_(ids)))
    await connection.execute(delete(dataset_versions).where(dataset_versions.c.id.in_(ids)))


def _committed(dataset: int) -> "Select[tuple[object, ...]]":
    return select(dataset_versions).where(
        dataset_versions.c.dataset == dataset, dataset_versions.c.number.is_not(None)
    )


async def _one(connection: AsyncConnection, query: "Select[tuple[object, ...]]") -> VersionRow | None:
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else VersionRow(**row)
