"""The caches of projects: reserved, found, finished, and cleared when there is no room.

What GitHub's clients say is translated in `agent.server.toolkit.caches` (version 2 of their protocol) and
`agent.server.toolkit.cache_v1`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agent.errors import UsageError
from agent.server.data.cache_scopes import Scopes
from agent.server.data.run_scopes import find_scopes
from agent.server.events.changes import Change
from agent.server.people.auth.runtime import JobIdentity
from agent.server.store import caches, jobs, projects, runs
from agent.server.store.caches import CacheRow
from agent.server.store.database import Connection, Database

_LONGEST_KEY = 512
_MOST_KEYS = 10
_VERSION = re.compile(r"[0-9A-Za-z._-]{1,128}")
_AT_ONCE = 100  # caches that are looked at when room is made


@dataclass(frozen=True, slots=True)
class CachePlace:
    """Where a job's caches are."""

    job: str
    project: int
    scopes: Scopes


async def find_place(database: Database, identity: JobIdentity) -> CachePlace:
    """The project and the scopes of a job that runs: from what is stored of it, not from what it says."""
    async with database.read() as connection:
        run = await runs.find_run(connection, identity.run)
        project = await jobs.project_of(connection, identity.job)
        assert run is not None
        assert project is not None
        return CachePlace(identity.job, project, await find_scopes(connection, run))


async def reserve(change: Change, place: CachePlace, key: str, version: str) -> int | None:
    """The id of a new cache; None when the job may write none here, or the key is taken. Raises UsageError."""
    check_key(key)
    check_version(version)
    if place.scopes.write is None:
        return None
    return await caches.reserve(
        change.connection,
        project=place.project,
        scope=place.scopes.write,
        key=key,
        version=version,
        job=place.job,
        now=change.now,
    )


async def look_up(
    connection: Connection, place: CachePlace, keys: Sequence[str], version: str
) -> CacheRow | None:
    """The cache to restore: the first key whole, then each key as a prefix; of the own scope first.

    The order is GitHub's: all keys in the run's own scope, then all of them in the base branch's, then the default's.
    Raises UsageError.
    """
    check_version(version)
    if not 0 < len(keys) <= _MOST_KEYS:
        raise UsageError(f"1 to {_MOST_KEYS} keys are looked for")
    for key in keys:
        check_key(key)
    for scope in place.scopes.read:
        for place_in_list, key in enumerate(keys):
            for is_prefix in (False, True) if place_in_list else (False,):
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


async def finish(change: Change, row: CacheRow) -> list[CacheRow] | None:
    """`row` is complete: it is found from now on. The caches that had to go for it; None: it can't be finished."""
    if not await caches.mark_final(change.connection, row.id, change.now):
        return None
    project = await projects.find_project(change.connection, row.project)
    most = None if project is None else project.settings.max_cache_bytes
    return [] if most is None else await make_room(change, row.project, most, but=row.id)


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
