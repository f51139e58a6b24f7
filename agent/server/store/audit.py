"""The audit log: rows are added and read, never changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import audit


@dataclass(frozen=True, slots=True)
class AuditRow:
    """What somebody did, or was refused. `detail` is JSON text and holds no secret's value."""

    id: int
    time: float
    actor: str
    user: int | None
    token: str | None
    address: str
    action: str
    target: str
    project: int | None
    outcome: str
    detail: str


async def add_entry(connection: AsyncConnection, detail: Mapping[str, object], **values: object) -> None:
    """Add a row; `values` are its columns."""
    await connection.execute(insert(audit).values(detail=json.dumps(detail, ensure_ascii=False), **values))


async def list_entries(
    connection: AsyncConnection,
    *,
    limit: int,
    before: int | None = None,
    since: float | None = None,
    **wanted: object,
) -> list[AuditRow]:
    """Rows, newest first, with an id below `before`; `wanted` says what columns shall be (None: anything)."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(audit.c.id < before)
    if since is not None:
        query = query.where(audit.c.time >= since)
    for name, value in wanted.items():
        if value is not None:
            query = query.where(audit.c[name] == value)
    return [AuditRow(**row) for row in (await connection.execute(query)).mappings()]
