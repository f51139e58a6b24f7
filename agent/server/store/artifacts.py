"""Artifacts of runs. Only `final` ones are seen by anybody but their uploader.

`agent.server.store.states` has their table.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store import packs
from agent.server.store.schema import artifact_reads, artifacts, jobs, runs
from agent.server.store.states import UPLOADS, UploadStatus
from agent.server.store.transitions import may_become
from agent.server.store.upsert import insert
from agent.spec.data import is_of_node


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    """One artifact; its bytes lie in the blob store under `blob`."""

    id: int
    run: int
    job: str
    name: str
    mime_type: str
    status: UploadStatus
    size_bytes: int
    digest: str
    created_at: float
    expires_at: float | None
    blob: str
    kept: str = ""  # JSON: what its job has noted of a tree that it keeps; empty: somebody uploaded it
    manifest_bytes: int | None = None  # of a tree that is stored by content: what lies under `blob`

    @property
    def is_tree(self) -> bool:
        """Whether it is stored by content: its manifest lies under `blob`, and its bytes in packs."""
        return self.manifest_bytes is not None

    def is_over(self, now: float) -> bool:
        """Whether its own time is over: nobody sees it any more, though it goes with the next sweep only."""
        return self.expires_at is not None and self.expires_at <= now


CHECKPOINT_MARK: Final = (
    '"kind": "checkpoint"'  # as `agent.server.data.checkpoints.note_checkpoint` writes it
)
_IS_CHECKPOINT: Final = artifacts.c.kept.contains(CHECKPOINT_MARK)

# What an artifact has stored for itself alone; what a tree shares with others is counted with its packs.
OWN_BYTES: Final = func.coalesce(artifacts.c.manifest_bytes, artifacts.c.size_bytes)


async def add_artifact(connection: AsyncConnection, **values: object) -> int | None:
    """Reserve a name in a run: the new id, or None when the name is taken."""
    new = insert(connection, artifacts).values(
        status=UploadStatus.UPLOADING, size_bytes=0, digest="", **values
    )
    statement = new.on_conflict_do_nothing(index_elements=["run", "name"]).returning(artifacts.c.id)
    found: int | None = (await connection.execute(statement)).scalar_one_or_none()
    return found


async def find_artifact(connection: AsyncConnection, artifact: int) -> ArtifactRow | None:
    """The artifact with this id, in whatever state."""
    return await _one(connection, select(artifacts).where(artifacts.c.id == artifact))


async def project_of(connection: AsyncConnection, artifact: int) -> int | None:
    """The project that the artifact's run belongs to."""
    query = select(runs.c.project).join(artifacts, artifacts.c.run == runs.c.id)
    return (await connection.execute(query.where(artifacts.c.id == artifact))).scalar_one_or_none()


async def find_by_name(connection: AsyncConnection, run: int, name: str) -> ArtifactRow | None:
    """The run's artifact of this name, in whatever state."""
    return await _one(connection, select(artifacts).where(artifacts.c.run == run, artifacts.c.name == name))


async def list_final(connection: AsyncConnection, run: int) -> list[ArtifactRow]:
    """The run's finished artifacts."""
    query = (
        select(artifacts)
        .where(artifacts.c.run == run, artifacts.c.status == UploadStatus.FINAL, ~_IS_CHECKPOINT)
        .order_by(artifacts.c.id)
    )
    return [ArtifactRow(**row) for row in (await connection.execute(query)).mappings()]


async def list_kept(connection: AsyncConnection, run: int, node: str = "") -> list[tuple[ArtifactRow, str]]:
    """What jobs of the run (of one node: all its cells) have kept, with the key of each one's job; without `node` also what people have uploaded."""
    query = (
        select(artifacts, jobs.c.key.label("job_key"))
        .outerjoin(jobs, jobs.c.id == artifacts.c.job)
        .where(artifacts.c.run == run, artifacts.c.status == UploadStatus.FINAL, ~_IS_CHECKPOINT)
        .order_by(artifacts.c.id)
    )
    found = []
    for row in (await connection.execute(query)).mappings():
        values = dict(row)
        key = values.pop("job_key") or ""
        if not node or is_of_node(key, node):
            found.append((ArtifactRow(**values), key))
    return found


async def note_read(connection: AsyncConnection, artifact: int, run: int, job: str, now: float) -> None:
    """An artifact is brought to a job, which may fetch it from now on; once more changes nothing."""
    statement = insert(connection, artifact_reads).values(artifact=artifact, run=run, job=job, read_at=now)
    await connection.execute(statement.on_conflict_do_nothing())


async def is_brought(connection: AsyncConnection, artifact: int, job: str) -> bool:
    """Whether the artifact was brought to the job."""
    query = select(func.count()).where(artifact_reads.c.artifact == artifact, artifact_reads.c.job == job)
    return bool((await connection.execute(query)).scalar_one())


async def give_name(connection: AsyncConnection, artifact: int, name: str) -> None:
    """Call an artifact so; nobody else in its run is."""
    await connection.execute(update(artifacts).where(artifacts.c.id == artifact).values(name=name))


async def size_of_all(connection: AsyncConnection, project: int, *, but: int = 0) -> int:
    """The bytes of all the project's artifacts, without `but`; those that trees share are counted once."""
    query = select(func.coalesce(func.sum(OWN_BYTES), 0))
    query = query.join(runs, runs.c.id == artifacts.c.run)
    query = query.where(runs.c.project == project, artifacts.c.id != but)
    own = int((await connection.execute(query)).scalar_one())
    return own + await packs.used_bytes(connection, project)


async def begin_tree(connection: AsyncConnection, artifact: int) -> None:
    """What is uploaded is a tree, stored by content."""
    statement = update(artifacts).where(
        artifacts.c.id == artifact, artifacts.c.status == UploadStatus.UPLOADING
    )
    await connection.execute(statement.values(manifest_bytes=func.coalesce(artifacts.c.manifest_bytes, 0)))


async def mark_uploaded(
    connection: AsyncConnection,
    artifact: int,
    blob: str,
    size_bytes: int,
    digest: str,
    *,
    manifest_bytes: int | None = None,
) -> bool:
    """All bytes are there, of a tree with its manifest under `blob`; False when it is final (an upload can't change it) or gone."""
    return await _move(
        connection,
        artifact,
        UploadStatus.UPLOADED,
        blob=blob,
        size_bytes=size_bytes,
        digest=digest,
        manifest_bytes=manifest_bytes,
    )


async def mark_final(connection: AsyncConnection, artifact: int) -> bool:
    """The uploader's word that this is it; False when it was not complete."""
    return await _move(connection, artifact, UploadStatus.FINAL)


async def remove_artifact(connection: AsyncConnection, artifact: int) -> None:
    """Forget an artifact; its name is free again, and what it alone has counted on is swept in its time."""
    await packs.drop_claims(connection, [artifact])
    await connection.execute(delete(artifacts).where(artifacts.c.id == artifact))


async def _move(connection: AsyncConnection, artifact: int, new: UploadStatus, **values: object) -> bool:
    statement = update(artifacts).where(
        artifacts.c.id == artifact, may_become(artifacts.c.status, UPLOADS, new)
    )
    return (await connection.execute(statement.values(status=new, **values))).rowcount == 1


async def _one(connection: AsyncConnection, query: "Select[tuple[object, ...]]") -> ArtifactRow | None:
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else ArtifactRow(**row)
