"""Snapshots: working trees that people have uploaded for their runs, each whole and under its digest."""

import secrets
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass

import msgspec

from agent.errors import NotFoundError, RefusedError
from agent.server.data.blobs.store import BlobStore
from agent.server.events.changes import Changes
from agent.server.people.auth.runtime import JobIdentity
from agent.server.process.problems import TooLargeError
from agent.server.store import jobs, snapshots
from agent.server.store.locks import lock_name
from agent.server.store.projects import ProjectRow
from agent.server.store.snapshots import SnapshotRow


class SnapshotView(msgspec.Struct):
    """A stored snapshot."""

    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SnapshotBytes:
    """An archive to read: its length, and its pieces."""

    size_bytes: int
    chunks: AsyncIterator[bytes]


class Snapshots:
    """The snapshots of projects. One has `most_bytes` at most, whatever its project has room for."""

    def __init__(self, changes: Changes, blobs: BlobStore, most_bytes: int) -> None:
        self._changes = changes
        self._blobs = blobs
        self._most_bytes = most_bytes

    async def put(
        self, project: ProjectRow, digest: str, chunks: AsyncIterable[bytes]
    ) -> tuple[SnapshotView, bool]:
        """Store an archive; False with it when the project had it before any byte was read.

        Raises TooLargeError, DamagedError when the bytes have another digest.
        """
        async with self._changes.database.read() as connection:
            known = await snapshots.find_snapshot(connection, project.id, digest)
            used = await snapshots.size_of_all(connection, project.id)
        if known is not None:
            return SnapshotView(digest, known.size_bytes), False
        blob = f"snapshots/{project.id}/{digest.removeprefix('sha256:')}/{secrets.token_hex(8)}"
        limit_bytes = self._room(project, used)
        written = await self._blobs.write(blob, chunks, limit_bytes=limit_bytes, digest=digest)
        try:
            async with self._changes.begin() as change:
                await lock_name(change.connection, f"snapshots of {project.id}")
                row = SnapshotRow(project.id, digest, written.size_bytes, change.now, blob)
                is_new = await snapshots.put_snapshot(change.connection, row)
                used = await snapshots.size_of_all(change.connection, project.id) - written.size_bytes
                self._room(project, used, needed=written.size_bytes)  # others may have come meanwhile
        except TooLargeError:
            await self._blobs.remove(blob)
            raise
        if not is_new:
            await self._blobs.remove(blob)
        return SnapshotView(digest, written.size_bytes), True

    async def open(self, project: int, digest: str) -> SnapshotBytes:
        """The project's archive. Raises NotFoundError."""
        async with self._changes.database.read() as connection:
            row = await snapshots.find_snapshot(connection, project, digest)
        if row is None:
            raise NotFoundError(f"there is no snapshot {digest}")
        return SnapshotBytes(row.size_bytes, self._blobs.read(row.blob))

    async def open_for_job(self, job: JobIdentity, digest: str) -> SnapshotBytes:
        """The archive that the job's run works on. Raises RefusedError for any other, NotFoundError."""
        async with self._changes.database.read() as connection:
            spec = await jobs.load_spec(connection, job.job)
            project = await jobs.project_of(connection, job.job)
        if spec.source.digest != digest or project is None:
            raise RefusedError("a job may read the snapshot of its own run only")
        return await self.open(project, digest)

    def _room(self, project: ProjectRow, used: int, *, needed: int = 1) -> int:
        """How many bytes another snapshot of the project may have. Raises TooLargeError for fewer than are needed."""
        room = project.settings.max_snapshot_bytes
        if room is None:
            return self._most_bytes
        if used + needed > room:
            raise TooLargeError(
                f"the project's snapshots have {used} of {room} bytes",
                hint="those that no run works on go a week after their upload; or have the operator raise max_snapshot_bytes",
            )
        return min(self._most_bytes, room - used)
