"""Checkpoints of jobs: trees that a job keeps of itself while it works, for its next try.

    reserve -> (the tree, by content) -> commit: it is the newest one, and those that are too many go, in one transaction

Only the try that holds the job now may commit one: what a try sends whose lease is over is refused, so that no checkpoint
of a lost machine comes after those of the machine that goes on.
"""

import json

from agent.errors import NotFoundError, RefusedError
from agent.server.events.changes import Change, Changes
from agent.server.people.auth.runtime import JobIdentity
from agent.server.process.problems import ConflictError
from agent.server.store import artifacts, checkpoints
from agent.server.store.artifacts import ArtifactRow
from agent.spec.status import JobStatus
from agent.visible import check_visible


def note_checkpoint(path: str, size: int, age_seconds: float, most: int) -> str:
    """What is noted of one. Raises UsageError."""
    check_visible(path, "a checkpoint")
    noted = {"kind": "checkpoint", "path": path, "size": size, "age_seconds": age_seconds, "most": most}
    return json.dumps(noted)


def is_checkpoint(row: ArtifactRow) -> bool:
    """Whether it is a job's checkpoint."""
    return artifacts.CHECKPOINT_MARK in row.kept


async def commit_checkpoint(changes: Changes, job: JobIdentity, row: ArtifactRow) -> list[ArtifactRow]:
    """The tree is complete, and the job's newest checkpoint from now on; gives those that have gone.

    Raises RefusedError for a try that does not hold the job any more, ConflictError.
    """
    async with changes.begin() as change:
        key = await _check_holds(change, job)
        if not await artifacts.mark_final(change.connection, row.id):
            raise ConflictError("the checkpoint was changed meanwhile")
        most = int(json.loads(row.kept).get("most", 1))
        old = await checkpoints.list_older(change.connection, row.run, key, most)
        for one in old:
            await artifacts.remove_artifact(change.connection, one.id)
        await checkpoints.note_kept(change.connection, job.job, change.now)
        await change.tell_job(job.job)
    return old


async def _check_holds(change: Change, job: JobIdentity) -> str:
    """The key of the job, which this try holds. Raises NotFoundError, RefusedError."""
    row = await change.lock_job(job.job)
    if row is None:
        raise NotFoundError("there is no such job")
    if row.lease != job.lease or row.status is JobStatus.COMPLETED:
        raise RefusedError("this try of the job is over: its checkpoint comes too late")
    return row.key
