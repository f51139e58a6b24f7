"""Webhooks by name, each of which starts one flow."""

from dataclasses import dataclass

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import webhooks


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """A webhook; `secret` is encrypted."""

    name: str
    project: int
    flow: int
    secret: bytes
    created_at: float


async def add_webhook(connection: AsyncConnection, row: WebhookRow) -> None:
    """Store a webhook."""
    values = {name: getattr(row, name) for name in WebhookRow.__slots__}
    await connection.execute(insert(webhooks).values(**values))


async def find_webhook(connection: AsyncConnection, name: str) -> WebhookRow | None:
    """The webhook with this name."""
    row = (await connection.execute(select(webhooks).where(webhooks.c.name == name))).mappings().one_or_none()
    return None if row is None else WebhookRow(**row)


async def project_of(connection: AsyncConnection, name: str) -> int | None:
    """The project that the webhook belongs to."""
    query = select(webhooks.c.project).where(webhooks.c.name == name)
    return (await connection.execute(query)).scalar_one_or_none()


async def list_webhooks(connection: AsyncConnection, project: int) -> list[WebhookRow]:
    """The project's webhooks by name."""
    query = select(webhooks).where(webhooks.c.project == project).order_by(webhooks.c.name)
    rows = await connection.execute(query)
    return [WebhookRow(**row) for row in rows.mappings()]


async def remove_webhook(connection: AsyncConnection, name: str) -> bool:
    """Forget a webhook; False when there is none such."""
    return (await connection.execute(delete(webhooks).where(webhooks.c.name == name))).rowcount == 1
