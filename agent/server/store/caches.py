"""Caches of projects. A key is written once in a scope; only `final` ones are found.

`agent.server.store.states` has their table.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, delete, func, literal, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import caches, jobs
from agent.server.store.states import UPLOADS, UploadStatus
from agent.server.store.transitions import may_become
from agent.server.store.upsert import insert
from agent.spec.status import ACTIVE

_ESCAPE = "\\"


@dataclass(frozen=True, slots=True)
class CacheRow:
    """One cache; its bytes lie in the blob store under `blob`."""

    id: int
    project: int
    scope: str
    key: str
    version: str
    status: UploadStatus
    job: str
    blob: str
    size_bytes: int
    digest: str
    created_at: float
    used_at: float


async def reserve(
    connection: AsyncConnection, *, project: int, scope: str, key: str, version: str, job: str, now: float
) -> int | None:
    """The id of a new cache, or None when the key is taken: by a finished one, or by an upload of another job that runs."""
    values = {"project": project, "scope": scope, "key": key, "version": version, "job": job}
    running = select(jobs.c.id).where(jobs.c.status.in_(ACTIVE))
    same = [caches.c[name] == values[name] for name in ("project", "scope", "key", "version")]
    await connection.execute(
        delete(caches).where(
            *same,
            caches.c.status != UploadStatus.FINAL,
            or_(caches.c.job == job, caches.c.job.not_in(running)),
        )
    )
    statement = (
        insert(connection, caches)
        .values(
            **values,
            status=UploadStatus.UPLOADING,
            blob="",
            size_bytes=0,
            digest="",
            created_at=now,
            used_at=now,
        )
        .on_conflict_do_nothing(index_elements=["project", "scope", "version", "key"])
        .returning(caches.c.id)
    )
    found: int | None = (await connection.execute(statement)).scalar_one_or_none()
    return found


async def find_cache(connection: AsyncConnection, cache: int) -> CacheRow | None:
    """The cache with this id, in whatever state."""
    return await _one(connection, select(caches).where(caches.c.id == cache))


async def project_of(connection: AsyncConnection, cache: int) -> int | None:
    """The project that the cache belongs to."""
    query = select(caches.c.project).where(caches.c.id == cache)
    return (await connection.execute(query)).scalar_one_or_none()


async def find_reserved(connection: AsyncConnection, job: str, key: str, version: str) -> CacheRow | None:
    """What `job` has reserved under `key`."""
    query = select(caches).where(caches.c.job == job, caches.c.key == key, caches.c.version == version)
    return await _one(connection, query)


async def find_best(
    connection: AsyncConnection, *, project: int, scope: str, version: str, key: str, is_prefix: bool
) -> CacheRow | None:
    """The newest finished cache of `scope` with this key, or, `is_prefix`, with a key that begins with it."""
    fits = caches.c.key.startswith(key, autoescape=True, escape=_ESCAPE) if is_prefix else caches.c.key == key
    query = (
        select(caches)
        .where(
            caches.c.project == project,
            caches.c.scope == scope,
            caches.c.version == version,
            caches.c.status == UploadStatus.FINAL,
            fits,
        )
        .order_by(caches.c.created_at.desc(), caches.c.id.desc())
    )
    if not is_prefix:
        return await _one(connection, query.limit(1))
    for row in (await connection.execute(query)).mappings():
        if row["key"].startswith(key):  # SQLite's LIKE does not tell a from A
            return CacheRow(**row)
    return None


async def list_caches(
    connection: AsyncConnection,
    project: int,
    *,
    limit: int,
    after: tuple[float, int] | None = None,
    prefix: str = "",
) -> list[CacheRow]:
    """The project's finished caches, the last used first: those behind the one that `after` (`used_at`, `id`) tells."""
    query = (
        select(caches)
        .where(caches.c.project == project, caches.c.status == UploadStatus.FINAL)
        .order_by(caches.c.used_at.desc(), caches.c.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(caches.c.used_at, caches.c.id) < tuple_(*map(literal, after)))
    if prefix:  # not LIKE: SQLite's does not tell a from A
        query = query.where(func.substr(caches.c.key, 1, len(prefix)) == prefix)
    return [CacheRow(**row) for row in (await connection.execute(query)).mappings()]


async def mark_uploaded(
    connection: AsyncConnection, cache: int, blob: str, size_bytes: int, digest: str
) -> bool:
    """All bytes are there; False when it is final or gone."""
    values = {"blob": blob, "size_bytes": size_bytes, "digest": digest}
    return await _move(connection, cache, UploadStatus.UPLOADED, **values)


async def mark_final(connection: AsyncConnection, cache: int, now: float) -> bool:
    """The uploader's word that this is it; False when it was not complete."""
    return await _move(connection, cache, UploadStatus.FINAL, created_at=now, used_at=now)


async def note_use(connection: AsyncConnection, cache: int, now: float) -> None:
    """The cache was asked for: it goes later."""
    await connection.execute(update(caches).where(caches.c.id == cache).values(used_at=now))


async def size_of_all(connection: AsyncConnection, project: int) -> int:
    """The bytes of all the project's finished caches."""
    query = select(func.coalesce(func.sum(caches.c.size_bytes), 0))
    query = query.where(caches.c.project == project, caches.c.status == UploadStatus.FINAL)
    return int((await connection.execute(query)).scalar_one())


async def list_least_used(connection: AsyncConnection, project: int, limit: int) -> list[CacheRow]:
    """The project's finished caches, those that were not used for longest first."""
    query = (
        select(caches)
        .where(caches.c.project == project, caches.c.status == UploadStatus.FINAL)
        .order_by(caches.c.used_at, caches.c.id)
        .limit(limit)
    )
    return [CacheRow(**row) for row in (await connection.execute(query)).mappings()]


async def remove_caches(connection: AsyncConnection, ids: Sequence[int]) -> None:
    """Forget caches; their keys are free again."""
    await connection.execute(delete(caches).where(caches.c.id.in_(ids)))


async def _move(connection: AsyncConnection, cache: int, new: UploadStatus, **values: object) -> bool:
    statement = update(caches).where(caches.c.id == cache, may_become(caches.c.status, UPLOADS, new))
    return (await connection.execute(statement.values(status=new, **values))).rowcount == 1


async def _one(connection: AsyncConnection, query: "Select[tuple[object, ...]]") -> CacheRow | None:
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else CacheRow(**row)
