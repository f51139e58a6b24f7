"""Secrets and variables."""

from sqlalchemy import Column, LargeBinary, String, Table, Text

from agent.server.store.schema.base import Time, metadata

secrets = Table(
    "secrets",
    metadata,
    Column("name", String, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # under the master key, bound to the name
    Column("updated_at", Time, nullable=False),
)

variables = Table(
    "variables",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
    Column("updated_at", Time, nullable=False),
)
