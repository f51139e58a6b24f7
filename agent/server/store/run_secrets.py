"""Secrets that were given to one run (encrypted before they come here): its own for as long as it is there."""

from collections.abc import Mapping

from sqlalchemy import bindparam, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.hot import Hot
from agent.server.store.schema import run_secrets

_LIST = Hot(
    select(run_secrets.c.name, run_secrets.c.sealed)
    .where(run_secrets.c.run == bindparam("wanted"))
    .order_by(run_secrets.c.name)
)


async def add_secrets(connection: AsyncConnection, run: int, sealed: Mapping[str, bytes]) -> None:
    """Store the secrets of a new run in their encrypted form, by name."""
    if sealed:
        rows = [{"run": run, "name": name, "sealed": record} for name, record in sealed.items()]
        await connection.execute(insert(run_secrets), rows)


async def list_secrets(connection: AsyncConnection, run: int) -> dict[str, bytes]:
    """The run's own secrets, encrypted, by name."""
    return {name: bytes(record) for name, record in await _LIST.rows(connection, wanted=run)}
