"""Caches as jobs have them: reserved, found, finished, and cleared when there is no room.

What GitHub's clients say is translated in `agent.server.toolkit.caches` (version 2 of their protocol) and
`agent.server.toolkit.cache_v1`. Where a job's caches are is said by what is stored of it, not by what it says itself.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agent.errors import NotFoundError, UsageError
from agent.server.data.cache_scopes import Scopes
from agent.server.data.caches import CacheView, view_cache
from agent.server.data.run_scopes import find_scopes
from agent.server.data.shelves import CACHES, Stored, stored_cache
from agent.server.data.uploads import Uploads
from agent.server.events.changes import Change, Changes
from agent.server.people.auth.runtime import JobIdentity
from agent.server.process.problems import ConflictError
from agent.server.store import caches, jobs, projects, runs
from agent.server.store.caches import CacheRow
from agent.server.store.database import Connection
from agent.server.store.states import UploadStatus

_LONGEST_KEY = 512
_MOST_KEYS = 10
_VERSION = re.compile(r"[0-9A-Za-z._-]{1,128}")
_AT_ONCE = 100  # caches that are looked at when room is made


@dataclass(frozen=True, slots=True)
class CachePlace:
    """Where a job's caches are."""

    project: int
    scopes: Scopes


@dataclass(frozen=True, slots=True)
class CacheReservation:
    """A cache that may be uploaded; `id` None: why not."""

    id: int | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class FoundCache:
    """A cache that a job is to restore, and where its bytes are."""

    view: CacheView
    stored: Stored


class JobCaches:
    """The caches of projects, to jobs."""

    def __init__(self, changes: Changes, uploads: Uploads) -> None:
        self._changes = changes
        self._uploads = uploads

    async def reserve(self, job: JobIdentity, key: str, version: str) -> CacheReservation:
        """Take a key in the job's scope. Raises UsageError."""
        check_key(key)
        check_version(version)
        async with self._changes.begin() as change:
            place = await _find_place(change.connection, job)
            if place.scopes.write is None:
                return CacheReservation(None, "this run may write no caches")
            cache = await caches.reserve(
                change.connection,
                project=place.project,
                scope=place.scopes.write,
                key=key,
                version=version,
                job=job.job,
                now=change.now,
            )
        return CacheReservation(cache, "the key is taken")

    async def look_up(self, job: JobIdentity, keys: Sequence[str], version: str) -> FoundCache | None:
        """The cache that the job is to restore; its use is noted. Raises UsageError."""
        async with self._changes.database.read() as connection:
            row = await _look_up(connection, await _find_place(connection, job), keys, version)
        if row is None:
            return None
        async with self._changes.begin() as change:
            await caches.note_use(change.connection, row.id, change.now)
        return FoundCache(view_cache(row), stored_cache(row))

    async def find_own(self, job: JobIdentity, cache: int) -> Stored:
        """What the job has reserved under this number. Raises NotFoundError."""
        return stored_cache(await self._find_own(job, cache))

    async def finish_pieces(self, job: JobIdentity, cache: int, size: int) -> None:
        """The pieces that have arrived are the whole cache, of `size` bytes: it is found from now on. Raises UsageError."""
        row = await self._find_own(job, cache)
        if row.status is not UploadStatus.FINAL and not await self._uploads.join_pieces(
            CACHES, stored_cache(row), size
        ):
            raise UsageError("the pieces that have arrived do not make up the archive", where=row.key)
        await self._finish(await self._find_own(job, cache), size)

    async def finish(self, job: JobIdentity, key: str, version: str, size: int | None) -> int:
        """The upload that the job has reserved is complete: it is found from now on. Its id.

        `size` (None: any) is what the client says. Raises NotFoundError, UsageError for another size, ConflictError.
        """
        async with self._changes.database.read() as connection:
            row = await caches.find_reserved(connection, job.job, key, version)
        if row is None:
            raise NotFoundError(f"this job has reserved no cache '{key[:80]}'")
        await self._finish(row, size)
        return row.id

    async def _find_own(self, job: JobIdentity, cache: int) -> CacheRow:
        async with self._changes.database.read() as connection:
            row = await caches.find_cache(connection, cache)
        if row is None or row.job != job.job:
            raise NotFoundError("this job has reserved no such cache")
        return row

    async def _finish(self, row: CacheRow, size: int | None) -> None:
        """The least used caches go when there is no room for all."""
        if row.status is UploadStatus.UPLOADING:
            raise UsageError("the cache's bytes have not arrived", where=row.key)
        if size is not None and size != row.size_bytes:
            raise UsageError(f"the cache has {row.size_bytes} bytes here, not {size}", where=row.key)
        gone: list[CacheRow] = []
        if row.status is not UploadStatus.FINAL:
            async with self._changes.begin() as change:
                if not await caches.mark_final(change.connection, row.id, change.now):
                    raise ConflictError("the cache was changed meanwhile")
                project = await projects.find_project(change.connection, row.project)
                most = None if project is None else project.settings.max_cache_bytes
                if most is not None:
                    gone = await make_room(change, row.project, most, but=row.id)
        for cache in gone:
            await self._uploads.remove_all(CACHES, stored_cache(cache))
        await self._uploads.remove_parts(CACHES, row.id)


async def _find_place(connection: Connection, job: JobIdentity) -> CachePlace:
    """The project and the scopes of a job that runs."""
    run = await runs.find_run(connection, job.run)
    project = await jobs.project_of(connection, job.job)
    assert run is not None
    assert project is not None
    return CachePlace(project, await find_scopes(connection, run))


async def _look_up(
    connection: Connection, place: CachePlace, keys: Sequence[str], version: str
) -> CacheRow | None:
    """The cache to restore: of each key in turn the one of exactly that key, else the newest whose key begins with it.

    The order is GitHub's: all keys in the run's own scope, then all of them in the base branch's, then the default's.
    Raises UsageError.
    """
    check_version(version)
    if not 0 < len(keys) <= _MOST_KEYS:
        raise UsageError(f"1 to {_MOST_KEYS} keys are looked for")
    for key in keys:
        check_key(key)
    for scope in place.scopes.read:
        for key in keys:
            for is_prefix in (False, True):
                found = await caches.find_best(
                    connection,
                    project=place.project,
                    scope=scope,
                    version=version,
                    key=key,
                    is_prefix=is_prefix,
                )
                if found is not None:
                    return found
    return None


async def make_room(change: Change, project: int, most_bytes: int, *, but: int = 0) -> list[CacheRow]:
    """Forget the least used caches until the rest, among it `but`, fits: those that were forgotten, blobs and all to go."""
    excess = await caches.size_of_all(change.connection, project) - most_bytes
    gone: list[CacheRow] = []
    while excess > 0:
        oldest = await caches.list_least_used(change.connection, project, _AT_ONCE)
        candidates = [row for row in oldest if row.id != but]
        if not candidates:
            break
        taken = []
        for row in candidates:
            if excess > 0:
                taken.append(row)
                excess -= row.size_bytes
        await caches.remove_caches(change.connection, [row.id for row in taken])
        gone += taken
    return gone


def check_key(key: str) -> None:
    """Raises UsageError unless `key` may be one: GitHub's rules, and nothing that a log or a path could stumble over."""
    if not 0 < len(key) <= _LONGEST_KEY or "," in key:
        raise UsageError(f"a cache's key has 1 to {_LONGEST_KEY} characters and no comma", where=key[:80])
    if not key.isprintable():
        raise UsageError("a cache's key may not hold control characters", where=repr(key[:80]))


def check_version(version: str) -> None:
    """Raises UsageError unless `version` is one."""
    if not _VERSION.fullmatch(version):
        raise UsageError("a cache's version is a hash", where=version[:80])
