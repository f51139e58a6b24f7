"""Retention: what is too old goes, project by project, and what nobody names any more.

Rows first, in one transaction a thing; its bytes afterwards. What a crash leaves between the two is a blob without a
row, and the sweep finds it. All of it may be done twice, or by two servers at once, without harm. Nothing of a run that
has not ended is touched.

| what | goes when | setting of the project |
| --- | --- | --- |
| artifacts | their own time is over, or they are too old; uploads that their job broke off | keep_artifacts_days |
| caches | nobody has used them for so long; uploads that their job broke off | keep_caches_days |
| results of steps | nobody has used them for so long | keep_caches_days |
| logs | their run ended so long ago; the oldest, when there is no room | keep_logs_days, max_log_bytes |
| runs, with all that is theirs | they ended so long ago | keep_runs_days |
| snapshots | no run of the project works on them, a week after their upload | |
| deliveries | they arrived so long ago, and what they started has ended | keep_deliveries_days |
| versions of datasets | not the newest, no tag, and nobody has used them for so long | keep_datasets_days |
| records of flows of stages, dead letters | they were kept so long ago | keep_records_days |
| queues, bookmarks and totals of flows | their flow is not deployed, and nobody has used them for so long | keep_records_days |
| drafts of datasets | a week after they were begun | |
| contents of datasets | no version and no draft names them | |
| packs of chunks | no artifact counts on them, a day after their upload | |
| blobs that no row names | a day after they were written | |
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from agent.errors import AgentError
from agent.server.data.blobs.store import BlobStore
from agent.server.data.journals import Journals
from agent.server.data.tree_uploads import SWEPT_AFTER_SECONDS
from agent.server.events.changes import Change, Changes
from agent.server.process.problems import ConflictError
from agent.server.store import (
    archives,
    bookmarks,
    caches,
    dataset_files,
    datasets,
    packs,
    projects,
    record_segments,
    retention,
    snapshots,
    stage_figures,
    step_results,
    stream_queues,
)
from agent.server.store.archives import ArchiveRow
from agent.server.store.artifacts import ArtifactRow
from agent.server.store.caches import CacheRow
from agent.server.store.dataset_files import ContentRow
from agent.server.store.outage import Outage
from agent.server.store.projects import ProjectRow
from agent.server.store.retention import OldDelivery
from agent.server.store.snapshots import SnapshotRow

log = logging.getLogger("agent.server.data.retention")

_DAY_SECONDS = 86_400.0
_SNAPSHOT_DAYS = 7
_LEFTOVER_SECONDS = _DAY_SECONDS
_PAUSE_SECONDS = 3600.0
_DRAFT_SECONDS = 7 * _DAY_SECONDS
_CONTENTS_AT_ONCE = 200
_SHELVES = ("artifacts", "caches", "datasets", "logs", "packs", "parts", "records", "snapshots")


@dataclass(frozen=True, slots=True)
class Doomed:
    """Something that goes: what it is, in words; its bytes, and how its rows are forgotten."""

    kind: str
    name: str
    project: str
    size_bytes: int
    forget: Callable[[Change], Awaitable[None]]
    blobs: tuple[str, ...] = ()
    journals: tuple[tuple[str, int], ...] = ()


class Retention:
    """Finds what goes, and lets it go."""

    def __init__(self, changes: Changes, journals: Journals, blobs: BlobStore) -> None:
        self._changes = changes
        self._journals = journals
        self._blobs = blobs

    async def run(self) -> None:
        """Let things go, every hour, until cancelled."""
        outage = Outage(log, "the rules of retention")
        outage.seconds = _PAUSE_SECONDS
        while True:
            await asyncio.sleep(outage.seconds)
            with outage:
                await self.apply()
                outage.seconds = _PAUSE_SECONDS

    async def find(self) -> AsyncIterator[Doomed]:
        """All that would go now; nothing is changed."""
        now = self._changes.clock.now()
        async with self._changes.database.read() as connection:
            rows = await projects.list_projects(connection)
        for project in rows:
            async for doomed in self._of_project(project, now):
                yield doomed
        async for doomed in self._leftovers(now):
            yield doomed

    async def apply(self) -> list[Doomed]:
        """Let everything go that `find` finds: what has gone."""
        gone = []
        async for doomed in self.find():
            try:
                async with self._changes.begin() as change:
                    await doomed.forget(change)
                for job, lease in doomed.journals:
                    await self._journals.remove(job, lease)
                for key in doomed.blobs:
                    await self._remove_bytes(key)
            except AgentError as error:
                log.warning("%s %s stays for now: %s", doomed.kind, doomed.name, error)
            else:
                log.info("%s %s of project '%s' has gone", doomed.kind, doomed.name, doomed.project)
                gone.append(doomed)
        return gone

    async def _remove_bytes(self, key: str) -> None:
        """A snapshot from before they belonged to projects may be that of several."""
        async with self._changes.database.read() as connection:
            if await retention.is_named(connection, key):
                return
        await self._blobs.remove(key)

    async def _of_project(self, project: ProjectRow, now: float) -> AsyncIterator[Doomed]:
        keep = project.settings
        for days, find in (
            (keep.keep_runs_days, self._old_runs),
            (keep.keep_logs_days, self._old_logs),
            (_SNAPSHOT_DAYS, self._unused_snapshots),
            (keep.keep_deliveries_days, self._old_deliveries),
            (keep.keep_records_days, self._old_segments),
            (keep.keep_records_days, self._left_of_flows),
        ):
            if days is not None:
                async for doomed in find(project, now - days * _DAY_SECONDS):
                    yield doomed
        async for doomed in self._old_artifacts(project, now):
            yield doomed
        async for doomed in self._unneeded_packs(project, now):
            yield doomed
        async for doomed in self._old_caches(project, now):
            yield doomed
        async for doomed in self._old_results(project, now):
            yield doomed
        async for doomed in self._old_datasets(project, now):
            yield doomed
        async for doomed in self._logs_over(project):
            yield doomed

    async def _old_runs(self, project: ProjectRow, ended_before: float) -> AsyncIterator[Doomed]:
        async with self._changes.database.read() as connection:
            ids = await retention.find_runs(connection, project.id, ended_before)
        for run in ids:
            async with self._changes.database.read() as connection:
                owned, logs = await retention.list_of_run(connection, run)
                segments = await record_segments.list_all_of_run(connection, run)

            async def forget(change: Change, run: int = run) -> None:
                await change.lock_run(run)
                await retention.forget_run(change.connection, run)

            bytes_of = [(row.blob, row.size_bytes) for row in owned] + [
                (row.blob, row.size_bytes) for row in logs
            ]
            bytes_of += [(row.blob, row.size_bytes) for row in segments]
            keys = [key for key, _ in bytes_of if key]
            size = sum(size for _, size in bytes_of)
            journals = tuple((row.job, row.lease) for row in logs)
            yield Doomed("run", str(run), project.name, size, forget, tuple(keys), journals)

    async def _old_artifacts(self, project: ProjectRow, now: float) -> AsyncIterator[Doomed]:
        days = project.settings.keep_artifacts_days
        since = None if days is None else now - days * _DAY_SECONDS
        async with self._changes.database.read() as connection:
            rows = await retention.find_artifacts(connection, project.id, now, since)
        for row in rows:

            async def forget(change: Change, number: int = row.id) -> None:
                await retention.forget_artifacts(change.connection, [number])

            name = f"{row.name} of run {row.run}"
            keys = _keys_of("artifacts", row)
            yield Doomed("artifact", name, project.name, row.size_bytes, forget, keys)

    async def _unneeded_packs(self, project: ProjectRow, now: float) -> AsyncIterator[Doomed]:
        """What trees were stored in that have gone. A day is left for uploads that were broken off, to go on."""
        find = partial(packs.list_unneeded, project=project.id, made_before=now - SWEPT_AFTER_SECONDS)
        after = 0
        while True:
            async with self._changes.database.read() as connection:
                rows = await find(connection, after=after, limit=_CONTENTS_AT_ONCE)
            if not rows:
                return
            after = rows[-1].id

            async def forget(change: Change, ids: Sequence[int] = [row.id for row in rows]) -> None:
                await packs.lock_packs(change.connection, project.id)
                if not await packs.forget_packs(change.connection, ids):
                    raise ConflictError("some of them are needed again")

            size, keys = sum(row.size_bytes for row in rows), tuple(row.blob for row in rows)
            yield Doomed("packs", f"{len(rows)} of trees", project.name, size, forget, keys)

    async def _old_caches(self, project: ProjectRow, now: float) -> AsyncIterator[Doomed]:
        days = project.settings.keep_caches_days
        unused_since = None if days is None else now - days * _DAY_SECONDS
        async with self._changes.database.read() as connection:
            rows = await retention.find_caches(connection, project.id, unused_since)
        for row in rows:

            async def forget(change: Change, number: int = row.id) -> None:
                await caches.remove_caches(change.connection, [number])

            keys = _keys_of("caches", row)
            yield Doomed("cache", row.key, project.name, row.size_bytes, forget, keys)

    async def _old_results(self, project: ProjectRow, now: float) -> AsyncIterator[Doomed]:
        days = project.settings.keep_caches_days
        if days is None:
            return
        unused_since = now - days * _DAY_SECONDS
        async with self._changes.database.read() as connection:
            count = await step_results.count_unused(connection, project.id, unused_since)

        async def forget(change: Change) -> None:
            await step_results.remove_unused(change.connection, project.id, unused_since)

        if count:
            yield Doomed("step results", str(count), project.name, 0, forget)

    async def _old_datasets(self, project: ProjectRow, now: float) -> AsyncIterator[Doomed]:
        """Versions and drafts first; their bytes are counted with the contents, which others may share."""
        days = project.settings.keep_datasets_days
        find = partial(
            retention.find_versions,
            project=project.id,
            drafts_before=now - _DRAFT_SECONDS,
            unused_since=None if days is None else now - days * _DAY_SECONDS,
        )
        async with self._changes.database.read() as connection:
            rows = await find(connection)
        for name, row in rows:

            async def forget(change: Change, number: int = row.id) -> None:
                await datasets.lock_contents(change.connection, project.id)
                if not await find(change.connection, version=number):
                    raise ConflictError("it is needed again")
                await datasets.remove_versions(change.connection, [number])

            what = f"draft {row.id} of {name}" if row.number is None else f"{name}:{row.number}"
            yield Doomed("dataset", what, project.name, 0, forget)
        async for doomed in self._unneeded_contents(project, [row.id for _, row in rows]):
            yield doomed

    async def _unneeded_contents(self, project: ProjectRow, going: Sequence[int]) -> AsyncIterator[Doomed]:
        after = ""
        while True:
            async with self._changes.database.read() as connection:
                rows = await dataset_files.list_unneeded(
                    connection, project.id, going=going, after=after, limit=_CONTENTS_AT_ONCE
                )
            if not rows:
                return
            after = rows[-1].digest

            async def forget(change: Change, rows: Sequence[ContentRow] = rows) -> None:
                await datasets.lock_contents(change.connection, project.id)
                if not await dataset_files.forget_contents(change.connection, project.id, rows):
                    raise ConflictError("some of them are needed again")

            size = sum(row.size_bytes for row in rows)
            keys = tuple(row.blob for row in rows)
            yield Doomed("contents", f"{len(rows)} of datasets", project.name, size, forget, keys)

    async def _old_logs(self, project: ProjectRow, ended_before: float) -> AsyncIterator[Doomed]:
        async with self._changes.database.read() as connection:
            rows = await retention.find_logs(connection, project.id, ended_before)
        for row in rows:
            yield _doom_log(project, row)

    async def _logs_over(self, project: ProjectRow) -> AsyncIterator[Doomed]:
        if project.settings.max_log_bytes is None:
            return
        async with self._changes.database.read() as connection:
            rows = await retention.find_logs_over(connection, project.id, project.settings.max_log_bytes)
        for row in rows:
            yield _doom_log(project, row)

    async def _unused_snapshots(self, project: ProjectRow, made_before: float) -> AsyncIterator[Doomed]:
        async with self._changes.database.read() as connection:
            rows = await snapshots.find_unused(connection, project.id, made_before)
        for row in rows:

            async def forget(change: Change, row: SnapshotRow = row) -> None:
                await snapshots.forget_snapshot(change.connection, row)

            yield Doomed("snapshot", row.digest, project.name, row.size_bytes, forget, (row.blob,))

    async def _old_deliveries(self, project: ProjectRow, received_before: float) -> AsyncIterator[Doomed]:
        async with self._changes.database.read() as connection:
            rows = await retention.find_deliveries(connection, project.id, received_before)
        for row in rows:

            async def forget(change: Change, row: OldDelivery = row) -> None:
                await retention.forget_delivery(change.connection, row)

            name = f"{row.id}: {row.provider} {row.event}"
            yield Doomed("delivery", name, project.name, row.size_bytes, forget)

    async def _old_segments(self, project: ProjectRow, kept_before: float) -> AsyncIterator[Doomed]:
        async with self._changes.database.read() as connection:
            rows = await record_segments.list_old(connection, project.id, kept_before)
        for row in rows:

            async def forget(change: Change, number: int = row.id) -> None:
                await record_segments.forget_segments(change.connection, [number])

            name = f"{row.records} records of {row.flow}, run {row.run}"
            yield Doomed("records", name, project.name, row.size_bytes, forget, (row.blob,))

    async def _left_of_flows(self, project: ProjectRow, unused_since: float) -> AsyncIterator[Doomed]:
        """What flows of stages have left that are not deployed any more."""
        async with self._changes.database.read() as connection:
            queues = await stream_queues.list_unused(connection, project.id, unused_since)
            marks = await bookmarks.list_unused(connection, project.id, unused_since)
            totals = await stage_figures.list_unused(connection, project.id, unused_since)
        for queue in queues:

            async def forget_queue(change: Change, number: int = queue.id) -> None:
                await stream_queues.forget_unused(change.connection, project.id, number, unused_since)

            name = f"{queue.path} of {queue.flow}, with {queue.records} records"
            yield Doomed("queue", name, project.name, queue.size_bytes, forget_queue)
        for flow, count in marks:

            async def forget_marks(change: Change, flow: str = flow) -> None:
                await bookmarks.forget_unused(change.connection, project.id, flow, unused_since)

            yield Doomed("bookmarks", f"{count} of {flow}", project.name, 0, forget_marks)
        for flow in totals:

            async def forget_totals(change: Change, flow: str = flow) -> None:
                await stage_figures.forget_totals(change.connection, project.id, flow)

            yield Doomed("totals", flow, project.name, 0, forget_totals)

    async def _leftovers(self, now: float) -> AsyncIterator[Doomed]:
        async def forget(_change: Change) -> None:
            """No row names it."""

        for shelf in _SHELVES:
            async for found in self._blobs.find(shelf):
                if found.written_at > now - _LEFTOVER_SECONDS:
                    continue
                async with self._changes.database.read() as connection:
                    is_named = await retention.is_named(connection, found.key)
                if not is_named:
                    yield Doomed("leftover", found.key, "", found.size_bytes, forget, (found.key,))


def _keys_of(shelf: str, row: ArtifactRow | CacheRow) -> tuple[str, ...]:
    """The bytes of an artifact or a cache, and the parts of an upload that was broken off."""
    parts = f"parts/{shelf}/{row.id}"
    return (row.blob, parts) if row.blob else (parts,)


def _doom_log(project: ProjectRow, row: ArchiveRow) -> Doomed:
    async def forget(change: Change) -> None:
        await archives.forget(change.connection, row)

    keys = (row.blob,) if row.blob else ()
    name = f"of {row.job}, lease {row.lease}"
    return Doomed("log", name, project.name, row.size_bytes, forget, keys, ((row.job, row.lease),))
