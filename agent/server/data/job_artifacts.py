"""Artifacts as jobs make them, find them and take them back, by their names in the job's run.

    reserve -> (the bytes, `agent.server.data.uploads`) -> finish

Any of the run's jobs may list and download an artifact once it is final.
"""

from agent.errors import NotFoundError, UsageError
from agent.server.data.artifacts import check_name
from agent.server.data.shelves import ARTIFACTS, Stored, stored_artifact
from agent.server.data.uploads import Uploads
from agent.server.events.changes import Changes
from agent.server.people.auth.runtime import JobIdentity
from agent.server.process.problems import ConflictError
from agent.server.runs.artifact_views import ArtifactView, view_artifact
from agent.server.store import artifacts, jobs, leases
from agent.server.store.artifacts import ArtifactRow
from agent.server.store.database import Connection
from agent.server.store.states import UploadStatus


class JobArtifacts:
    """The artifacts of runs, to their jobs."""

    def __init__(self, changes: Changes, uploads: Uploads) -> None:
        self._changes = changes
        self._uploads = uploads

    async def reserve(self, job: JobIdentity, name: str, mime_type: str, expires_at: float | None) -> int:
        """A name in the job's run: the id of its artifact. Asked again by the same job, whose answer was lost: the same.

        What an earlier try of the job has left under the name makes room. Raises UsageError for the name, ConflictError
        when it is taken.
        """
        check_name(name)
        async with self._changes.begin() as change:
            taken = await artifacts.find_by_name(change.connection, job.run, name)
            is_old = taken is not None and await _is_of_earlier_try(change.connection, taken, job)
            if taken is not None and is_old:
                await artifacts.remove_artifact(change.connection, taken.id)
            artifact = await artifacts.add_artifact(
                change.connection,
                run=job.run,
                job=job.job,
                name=name,
                mime_type=mime_type,
                created_at=change.now,
                expires_at=expires_at,
            )
            if (
                artifact is None
                and taken is not None
                and taken.job == job.job
                and taken.status is UploadStatus.UPLOADING
            ):
                artifact = taken.id
        if artifact is None:
            raise ConflictError(f"an artifact with this name already exists on the run: {name}")
        if taken is not None and is_old:
            await self._uploads.remove_all(ARTIFACTS, stored_artifact(taken))
        return artifact

    async def finish(self, run: int, name: str, size: int | None, digest: str) -> int:
        """The run's artifact is complete, and is seen from now on: its id.

        `size` (None: any) and `digest` (empty: any) are what its uploader says. Raises NotFoundError, UsageError when
        they are not what is here, ConflictError.
        """
        row = await self._find_named(run, name)
        if row.status is UploadStatus.UPLOADING:
            raise UsageError("the artifact's bytes have not arrived", where=row.name)
        if size is not None and size != row.size_bytes:
            raise UsageError(f"the artifact has {row.size_bytes} bytes here, not {size}", where=row.name)
        if digest and digest != row.digest:
            raise UsageError(f"the artifact has the hash {row.digest} here, not {digest}", where=row.name)
        async with self._changes.begin() as change:
            if row.status is not UploadStatus.FINAL and not await artifacts.mark_final(
                change.connection, row.id
            ):
                raise ConflictError("the artifact was changed meanwhile")
            await change.tell_run(row.run)
        await self._uploads.remove_parts(ARTIFACTS, row.id)
        return row.id

    async def list_final(self, run: int) -> list[ArtifactView]:
        """The run's finished artifacts."""
        async with self._changes.database.read() as connection:
            return [view_artifact(row) for row in await artifacts.list_final(connection, run)]

    async def find_named(self, run: int, name: str) -> Stored:
        """Where the bytes of the run's finished artifact are. Raises NotFoundError."""
        row = await self._find_named(run, name)
        if row.status is not UploadStatus.FINAL:
            raise _nothing_named(name)
        return stored_artifact(row)

    async def remove_named(self, run: int, name: str) -> int:
        """Forget the run's artifact: also an upload that was broken off, so that its name is free again. Its id.

        Raises NotFoundError.
        """
        row = await self._find_named(run, name)
        async with self._changes.begin() as change:
            await artifacts.remove_artifact(change.connection, row.id)
            await change.tell_run(row.run)
        await self._uploads.remove_all(ARTIFACTS, stored_artifact(row))
        return row.id

    async def _find_named(self, run: int, name: str) -> ArtifactRow:
        async with self._changes.database.read() as connection:
            row = await artifacts.find_by_name(connection, run, name)
        if row is None:
            raise _nothing_named(name)
        return row


async def _is_of_earlier_try(connection: Connection, taken: ArtifactRow, job: JobIdentity) -> bool:
    """Whether `job` has made it itself before: under a lease that is over, or in an attempt that is (a retry, a re-run)."""
    if taken.job == job.job:
        offered_at = await leases.find_offered_at(connection, job.job, job.lease)
        return offered_at is not None and taken.created_at < offered_at
    maker, own = await jobs.find_job(connection, taken.job), await jobs.find_job(connection, job.job)
    if maker is None or own is None or maker.key != own.key:
        return False
    return (maker.run_attempt, maker.attempt) < (own.run_attempt, own.attempt)


def _nothing_named(name: str) -> NotFoundError:
    return NotFoundError(f"this run has no artifact '{name[:80]}'")
