"""Tags on runs, artifacts and versions of datasets."""

from dataclasses import dataclass

from sqlalchemy import delete, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import tags
from agent.server.store.upsert import insert


@dataclass(frozen=True, slots=True)
class TagRow:
    """A tag on the thing `thing` (its id) of a `kind`: run, artifact, dataset_version."""

    kind: str
    thing: int
    tag: str
    project: int
    actor: str
    created_at: float


async def add_tag(connection: AsyncConnection, row: TagRow) -> bool:
    """Put a tag on; False when it is there already."""
    values = {name: getattr(row, name) for name in TagRow.__slots__}
    statement = insert(connection, tags).values(**values).on_conflict_do_nothing()
    return (await connection.execute(statement)).rowcount == 1


async def list_tags(
    connection: AsyncConnection,
    project: int,
    *,
    limit: int,
    after: tuple[str, str, int] | None = None,
    kind: str = "",
    thing: int | None = None,
    tag: str = "",
) -> list[TagRow]:
    """The project's tags behind `after` (`tag`, `kind`, `thing`): of one thing, of this name, or all."""
    query = select(tags).where(tags.c.project == project)
    if kind:
        query = query.where(tags.c.kind == kind)
    if thing is not None:
        query = query.where(tags.c.thing == thing)
    if tag:
        query = query.where(tags.c.tag == tag)
    place = (tags.c.tag, tags.c.kind, tags.c.thing)
    if after is not None:
        query = query.where(tuple_(*place) > tuple_(*map(literal, after)))
    query = query.order_by(*place).limit(limit)
    return [TagRow(**row) for row in (await connection.execute(query)).mappings()]


async def remove_tag(connection: AsyncConnection, kind: str, thing: int, tag: str) -> bool:
    """Take a tag off; False when it is not there."""
    statement = delete(tags).where(tags.c.kind == kind, tags.c.thing == thing, tags.c.tag == tag)
    return (await connection.execute(statement)).rowcount == 1
