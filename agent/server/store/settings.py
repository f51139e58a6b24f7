"""Secrets (encrypted before they come here) and variables, by name; and the snapshots that were uploaded."""

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import secrets, snapshots, variables
from agent.server.store.upsert import insert


async def put_secret(connection: AsyncConnection, name: str, sealed: bytes, now: float) -> None:
    """Store or replace a secret in its encrypted form."""
    statement = insert(connection, secrets).values(name=name, sealed=sealed, updated_at=now)
    values = {"sealed": sealed, "updated_at": now}
    await connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


async def load_secrets(connection: AsyncConnection) -> dict[str, bytes]:
    """All secrets in their encrypted form."""
    return {row.name: row.sealed for row in await connection.execute(select(secrets))}


async def list_secrets(connection: AsyncConnection) -> dict[str, float]:
    """The names of the secrets, each with the time when it was set; never a value."""
    query = select(secrets.c.name, secrets.c.updated_at).order_by(secrets.c.name)
    return {row.name: row.updated_at for row in await connection.execute(query)}


async def remove_secret(connection: AsyncConnection, name: str) -> bool:
    """Forget a secret; False when there is none such."""
    return (await connection.execute(delete(secrets).where(secrets.c.name == name))).rowcount == 1


async def put_variable(connection: AsyncConnection, name: str, value: str, now: float) -> None:
    """Store or replace a variable."""
    statement = insert(connection, variables).values(name=name, value=value, updated_at=now)
    values = {"value": value, "updated_at": now}
    await connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


async def list_variables(connection: AsyncConnection) -> dict[str, tuple[str, float]]:
    """Variables: name, then value and the time when it was set."""
    query = select(variables).order_by(variables.c.name)
    return {row.name: (row.value, row.updated_at) for row in await connection.execute(query)}


async def remove_variable(connection: AsyncConnection, name: str) -> bool:
    """Forget a variable; False when there is none such."""
    return (await connection.execute(delete(variables).where(variables.c.name == name))).rowcount == 1


async def put_snapshot(connection: AsyncConnection, digest: str, size_bytes: int, now: float) -> None:
    """A snapshot has arrived whole; once more changes nothing."""
    statement = insert(connection, snapshots).values(digest=digest, size_bytes=size_bytes, created_at=now)
    await connection.execute(statement.on_conflict_do_nothing())


async def find_snapshot(connection: AsyncConnection, digest: str) -> int | None:
    """The size in bytes of the snapshot, when it is here."""
    query = select(snapshots.c.size_bytes).where(snapshots.c.digest == digest)
    return (await connection.execute(query)).scalar_one_or_none()
