"""Working trees that people have uploaded, by project and content. What one project has, another knows nothing of."""

from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import deployments, runs, snapshots
from agent.server.store.upsert import insert


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """A snapshot; its bytes lie in the blob store under `blob`."""

    project: int
    digest: str
    size_bytes: int
    created_at: float
    blob: str


async def put_snapshot(connection: AsyncConnection, row: SnapshotRow) -> bool:
    """A snapshot has arrived whole; False when its project had it already."""
    values = {name: getattr(row, name) for name in SnapshotRow.__slots__}
    statement = insert(connection, snapshots).values(**values).on_conflict_do_nothing()
    return (await connection.execute(statement)).rowcount == 1


async def find_snapshot(connection: AsyncConnection, project: int, digest: str) -> SnapshotRow | None:
    """The project's snapshot, when it is here."""
    query = select(snapshots).where(snapshots.c.project == project, snapshots.c.digest == digest)
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else SnapshotRow(**row)


async def size_of_all(connection: AsyncConnection, project: int) -> int:
    """The bytes of all the project's snapshots."""
    query = select(func.coalesce(func.sum(snapshots.c.size_bytes), 0)).where(snapshots.c.project == project)
    return int((await connection.execute(query)).scalar_one())


async def find_unused(connection: AsyncConnection, project: int, made_before: float) -> list[SnapshotRow]:
    """The project's snapshots that were uploaded before then and that none of its runs works on."""
    is_own = (runs.c.project == project) & runs.c.source.contains(snapshots.c.digest)
    is_deployed = (deployments.c.project == project) & deployments.c.source.contains(snapshots.c.digest)
    query = select(snapshots).where(
        snapshots.c.project == project,
        snapshots.c.created_at < made_before,
        ~select(runs.c.id).where(is_own).exists(),
        ~select(deployments.c.id).where(is_deployed).exists(),
    )
    return [SnapshotRow(**row) for row in (await connection.execute(query)).mappings()]


async def forget_snapshot(connection: AsyncConnection, row: SnapshotRow) -> None:
    """Remove a snapshot."""
    is_it = (snapshots.c.project == row.project) & (snapshots.c.digest == row.digest)
    await connection.execute(delete(snapshots).where(is_it))
