"""Projects: what runs, secrets and rights belong to. The first one, `default`, is always there."""

from sqlalchemy import Column, String, Table

from agent.server.store.schema.base import Time, Whole, metadata

projects = Table(
    "projects",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("name", String, nullable=False, unique=True),
    Column("created_at", Time, nullable=False),
    sqlite_autoincrement=True,
)
