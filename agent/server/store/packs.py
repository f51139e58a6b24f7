"""Packs of chunks, which trees are stored in: what a project has, and which artifacts and uploads count on it.

    a pack is stored --an upload claims it--> claimed --its last artifact goes--> unneeded --swept--> gone
                       unneeded --an upload claims it--> claimed

Whoever claims or sweeps holds `lock_packs`, so that what an upload was told is here stays for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.locks import lock_name
from agent.server.store.schema import chunks, pack_claims, packs
from agent.server.store.upsert import insert

_AT_ONCE = 500  # parameters of a query


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of content: its SHA-256 in hex, and its length."""

    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PlacedChunk:
    """Where a chunk lies: `size_bytes` from `offset` on in the blob of its pack."""

    digest: str
    size_bytes: int
    pack: int
    offset: int
    blob: str = ""


@dataclass(frozen=True, slots=True)
class PackRow:
    """A pack. `only_run` is the run that alone is told what is in it; None: the whole project is."""

    id: int
    project: int
    only_run: int | None
    blob: str
    size_bytes: int
    created_at: float


async def lock_packs(connection: AsyncConnection, project: int) -> None:
    """Be the only one who claims, adds or sweeps packs of the project until this transaction ends."""
    await lock_name(connection, f"packs/{project}")


async def find_chunks(
    connection: AsyncConnection, project: int, digests: Sequence[str], *, told_run: int | None = None
) -> dict[str, PlacedChunk]:
    """Those of the chunks that the project has. With `told_run`: that this run has brought here itself."""
    query = _placed().where(chunks.c.project == project)
    if told_run is not None:
        query = query.where(packs.c.only_run == told_run)
    return await _by_digest(connection, query, digests)


async def find_claimed(
    connection: AsyncConnection, artifact: int, digests: Sequence[str]
) -> dict[str, PlacedChunk]:
    """Those of the chunks that lie in packs which the artifact counts on."""
    query = _placed().join(pack_claims, pack_claims.c.pack == packs.c.id)
    return await _by_digest(connection, query.where(pack_claims.c.artifact == artifact), digests)


async def claim_packs(connection: AsyncConnection, artifact: int, ids: Sequence[int]) -> None:
    """The artifact counts on these packs; once more changes nothing."""
    if ids:
        rows = [{"artifact": artifact, "pack": pack} for pack in ids]
        await connection.execute(insert(connection, pack_claims).on_conflict_do_nothing(), rows)


async def add_pack(
    connection: AsyncConnection, artifact: int, row: PackRow, placed: Sequence[PlacedChunk]
) -> int:
    """A pack with chunks that the project does not have, for the artifact; its id. The caller holds `lock_packs`."""
    values = {name: getattr(row, name) for name in PackRow.__slots__ if name != "id"}
    made = await connection.execute(insert(connection, packs).values(**values).returning(packs.c.id))
    pack = int(made.scalar_one())
    rows = [
        {
            "project": row.project,
            "digest": one.digest,
            "pack": pack,
            "offset": one.offset,
            "size_bytes": one.size_bytes,
        }
        for one in placed
    ]
    await connection.execute(insert(connection, chunks), rows)
    await claim_packs(connection, artifact, [pack])
    return pack


async def used_bytes(connection: AsyncConnection, project: int) -> int:
    """The bytes of all packs of the project, each counted once."""
    query = select(func.coalesce(func.sum(packs.c.size_bytes), 0)).where(packs.c.project == project)
    return int((await connection.execute(query)).scalar_one())


async def drop_claims(connection: AsyncConnection, artifacts: Sequence[int] | Select[tuple[int]]) -> None:
    """The artifacts go, and count on nothing any more."""
    await connection.execute(delete(pack_claims).where(pack_claims.c.artifact.in_(artifacts)))


async def list_unneeded(
    connection: AsyncConnection,
    project: int,
    *,
    made_before: float,
    going: Sequence[int] = (),
    after: int = 0,
    limit: int = _AT_ONCE,
) -> list[PackRow]:
    """Packs from before then that no artifact and no upload counts on but those that are `going`, behind `after`."""
    query = (
        select(packs)
        .where(packs.c.project == project, packs.c.id > after, packs.c.created_at <= made_before)
        .where(~_claims(going).exists())
        .order_by(packs.c.id)
        .limit(limit)
    )
    return [PackRow(**row) for row in (await connection.execute(query)).mappings()]


async def forget_packs(connection: AsyncConnection, ids: Sequence[int]) -> bool:
    """Forget packs with their chunks. False when one is counted on again: then the caller undoes what it did."""
    await connection.execute(
        delete(chunks).where(chunks.c.pack.in_(ids), chunks.c.pack.not_in(select(pack_claims.c.pack)))
    )
    statement = delete(packs).where(packs.c.id.in_(ids), ~_claims().exists())
    return (await connection.execute(statement)).rowcount == len(ids)


def _placed() -> "Select[tuple[object, ...]]":
    columns = [chunks.c[name] for name in PlacedChunk.__slots__ if name != "blob"]
    return select(*columns, packs.c.blob).join(packs, packs.c.id == chunks.c.pack)


async def _by_digest(
    connection: AsyncConnection, query: "Select[tuple[object, ...]]", digests: Sequence[str]
) -> dict[str, PlacedChunk]:
    found = {}
    for at in range(0, len(digests), _AT_ONCE):
        part = query.where(chunks.c.digest.in_(digests[at : at + _AT_ONCE]))
        for row in (await connection.execute(part)).mappings():
            found[row["digest"]] = PlacedChunk(**row)
    return found


def _claims(going: Sequence[int] = ()) -> "Select[tuple[int]]":
    query = select(pack_claims.c.pack).where(pack_claims.c.pack == packs.c.id).correlate(packs)
    return query.where(pack_claims.c.artifact.not_in(going)) if going else query
