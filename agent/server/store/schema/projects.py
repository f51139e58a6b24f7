"""Projects: what runs, secrets and rights belong to. The first one, `default`, is always there."""

from sqlalchemy import Column, String, Table, Text

from agent.server.store.schema.base import Time, Whole, metadata

projects = Table(
    "projects",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("name", String, nullable=False, unique=True),
    Column("created_at", Time, nullable=False),
    Column("archived_at", Time),  # set: nothing new happens in it
    Column("settings", Text, nullable=False, server_default="{}"),  # store.projects.ProjectSettings
    sqlite_autoincrement=True,
)
