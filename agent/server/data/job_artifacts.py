"""Artifacts as jobs make them, find them and take them back, by their names in the job's run.

    reserve -> (the bytes, `agent.server.data.uploads`) -> finish

Any of the run's jobs may list and download an artifact once it is final.
"""

import secrets as entropy

from agent.errors import NotFoundError, RefusedError, UsageError
from agent.server.data.artifacts import check_name
from agent.server.data.checkpoints import commit_checkpoint, is_checkpoint
from agent.server.data.shelves import ARTIFACTS, Stored, stored_artifact
from agent.server.data.uploads import Uploads
from agent.server.events.changes import Changes
from agent.server.people.auth.runtime import JobIdentity
from agent.server.process.problems import ConflictError
from agent.server.runs.artifact_views import ArtifactView, view_artifact
from agent.server.store import artifacts, deliveries, jobs, leases
from agent.server.store.artifacts import ArtifactRow
from agent.server.store.database import Connection
from agent.server.store.locks import lock_name
from agent.server.store.states import UploadStatus


class JobArtifacts:
    """The artifacts of runs, to their jobs."""

    def __init__(self, changes: Changes, uploads: Uploads) -> None:
        self._changes = changes
        self._uploads = uploads

    async def reserve(
        self,
        job: JobIdentity,
        name: str,
        mime_type: str,
        expires_at: float | None,
        *,
        is_tree: bool = False,
    ) -> int:
        """A name in the job's run: the id of its artifact. Asked again by the same job, whose answer was lost: the same.

        `is_tree`: it will be sent by content (`agent.server.data.tree_uploads`).

        What an earlier try of the job has left under the name, or is over, makes room. Raises UsageError for the name, ConflictError
        when it is taken.
        """
        check_name(name)
        async with self._changes.begin() as change:
            taken = await artifacts.find_by_name(change.connection, job.run, name)
            is_old = taken is not None and (
                taken.is_over(change.now) or await _is_of_earlier_try(change.connection, taken, job)
            )
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
            if artifact is not None and is_tree:
                await artifacts.begin_tree(change.connection, artifact)
        if artifact is None:
            raise _taken(name)
        if taken is not None and is_old:
            await self._uploads.remove_all(ARTIFACTS, stored_artifact(taken))
        return artifact

    async def reserve_kept(self, job: JobIdentity, name: str, kept: str, *, is_tree: bool = False) -> int:
        """A place for a tree that the job keeps under `name`: the id of its artifact, which has the name once it is finished.

        So what the job has kept under it before is there until then. `kept` is what is noted of it. Raises UsageError for the
        name, ConflictError when another job has it.
        """
        check_name(name)
        async with self._changes.begin() as change:
            taken = await artifacts.find_by_name(change.connection, job.run, name)
            if taken is not None and not await _is_of_same_job(change.connection, taken, job):
                raise _taken(name)
            artifact = await artifacts.add_artifact(
                change.connection,
                run=job.run,
                job=job.job,
                name=f"{name}\n{entropy.token_hex(8)}",  # nobody can ask for a name with a line end
                mime_type="application/zip",
                created_at=change.now,
                expires_at=None,
                kept=kept,
                manifest_bytes=0 if is_tree else None,
            )
        assert artifact is not None
        return artifact

    async def finish_kept(self, job: JobIdentity, artifact: int, size: int | None, digest: str) -> int:
        """The tree is complete, and has its name from now on. Raises as `finish`."""
        async with self._changes.database.read() as connection:
            row = await artifacts.find_artifact(connection, artifact)
        if row is None or row.job != job.job:
            raise NotFoundError("there is no such artifact")
        name = row.name.partition("\n")[0]
        if row.status is UploadStatus.FINAL:  # asked again by who had no answer
            return row.id
        _check_whole(row, size, digest)
        if is_checkpoint(row):
            gone = await commit_checkpoint(self._changes, job, row)
            await self._uploads.remove_parts(ARTIFACTS, row.id)
            for each in gone:
                await self._uploads.remove_all(ARTIFACTS, stored_artifact(each))
            return row.id
        async with self._changes.begin() as change:
            await lock_name(change.connection, f"kept by {job.run}: {name}")
            old = await artifacts.find_by_name(change.connection, job.run, name)
            if old is not None and not await _is_of_same_job(change.connection, old, job):
                raise _taken(name)
            if old is not None:
                await artifacts.remove_artifact(change.connection, old.id)
            await artifacts.give_name(change.connection, row.id, name)
            if not await artifacts.mark_final(change.connection, row.id):
                raise ConflictError("the artifact was changed meanwhile")
            await change.tell_run(row.run)
        await self._uploads.remove_parts(ARTIFACTS, row.id)
        if old is not None:
            await self._uploads.remove_all(ARTIFACTS, stored_artifact(old))
        return row.id

    async def find_brought(self, job: JobIdentity, artifact: int) -> Stored:
        """Where the bytes of an artifact are that was brought to the job. Raises NotFoundError for any other."""
        async with self._changes.database.read() as connection:
            row = await artifacts.find_artifact(connection, artifact)
            is_theirs = row is not None and (
                row.run == job.run or await artifacts.is_brought(connection, artifact, job.job)
            )
        if row is None or not is_theirs or row.status is not UploadStatus.FINAL:
            raise NotFoundError("the artifact is not there any more, or was not brought to this job")
        return stored_artifact(row)

    async def finish(self, run: int, name: str, size: int | None, digest: str) -> int:
        """The run's artifact is complete, and is seen from now on: its id.

        `size` (None: any) and `digest` (empty: any) are what its uploader says. Raises NotFoundError, UsageError when
        they are not what is here, ConflictError.
        """
        row = await self._find_named(run, name)
        _check_whole(row, size, digest)
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
            found = await artifacts.list_final(connection, run)
        return [view_artifact(row) for row in found if not row.is_over(self._changes.clock.now())]

    async def find_view(self, artifact: int) -> ArtifactView:
        """A finished artifact of any run. Raises NotFoundError."""
        async with self._changes.database.read() as connection:
            row = await artifacts.find_artifact(connection, artifact)
        if row is None or row.status is not UploadStatus.FINAL or row.is_over(self._changes.clock.now()):
            raise NotFoundError("there is no such artifact")
        return view_artifact(row)

    async def check_reads_others(self, job: JobIdentity) -> None:
        """Raises RefusedError unless the job may read artifacts of its project's other runs: its flow has to ask for that."""
        async with self._changes.database.read() as connection:
            spec = await jobs.load_spec(connection, job.job)
            origin = await deliveries.find_origin(connection, job.run)
        may_read = (spec.permissions or {}).get("actions") in ("read", "write")
        if not may_read or (origin is not None and not origin.is_trusted):
            raise RefusedError(
                "this job may not read what other runs have made",
                hint="give its job, or its flow, `permissions: actions: read`; a stranger's request to merge never may",
            )

    async def find_named(self, run: int, name: str) -> Stored:
        """Where the bytes of the run's finished artifact are. Raises NotFoundError."""
        row = await self._find_named(run, name)
        if row.status is not UploadStatus.FINAL or row.is_over(self._changes.clock.now()):
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


def _check_whole(row: ArtifactRow, size: int | None, digest: str) -> None:
    """Raises UsageError unless all that its uploader says is here."""
    if row.status is UploadStatus.UPLOADING:
        raise UsageError("the artifact's bytes have not arrived", where=row.name)
    if size is not None and size != row.size_bytes:
        raise UsageError(f"the artifact has {row.size_bytes} bytes here, not {size}", where=row.name)
    if digest and digest != row.digest:
        raise UsageError(f"the artifact has the hash {row.digest} here, not {digest}", where=row.name)


async def _is_of_same_job(connection: Connection, taken: ArtifactRow, job: JobIdentity) -> bool:
    """Whether `job` has kept it: in this try, or in an earlier one."""
    is_own = taken.job == job.job and taken.kept != ""
    return is_own or await _is_of_earlier_try(connection, taken, job)


async def _is_of_earlier_try(connection: Connection, taken: ArtifactRow, job: JobIdentity) -> bool:
    """Whether `job` has made it itself before: under a lease that is over, or in an attempt that is (a retry, a re-run)."""
    if taken.job == job.job:
        offered_at = await leases.find_offered_at(connection, job.job, job.lease)
        return offered_at is not None and taken.created_at < offered_at
    maker, own = await jobs.find_job(connection, taken.job), await jobs.find_job(connection, job.job)
    if maker is None or own is None or maker.key != own.key:
        return False
    return (maker.run_attempt, maker.attempt) < (own.run_attempt, own.attempt)


def _taken(name: str) -> ConflictError:
    return ConflictError(f"an artifact with this name already exists on the run: {name}")


def _nothing_named(name: str) -> NotFoundError:
    return NotFoundError(f"this run has no artifact '{name[:80]}'")
