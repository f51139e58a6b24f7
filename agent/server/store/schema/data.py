"""Bulk data, by name; its bytes are blobs."""

from sqlalchemy import Column, ForeignKey, String, Table, UniqueConstraint

from agent.server.store.schema.base import Time, Whole, metadata, one_of
from agent.server.store.states import UploadStatus

artifacts = Table(
    "artifacts",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("run", Whole, ForeignKey("runs.id"), nullable=False),
    Column("job", String, nullable=False),
    Column("name", String, nullable=False),
    Column("mime_type", String, nullable=False),
    Column("status", one_of(UploadStatus), nullable=False),
    Column("size_bytes", Whole, nullable=False),
    Column("digest", String, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time),
    Column(
        "blob", String, nullable=False, server_default=""
    ),  # the key of its bytes; each upload has a new one
    UniqueConstraint("run", "name"),
    sqlite_autoincrement=True,
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("project", Whole, ForeignKey("projects.id"), primary_key=True),
    Column("digest", String, primary_key=True),
    Column("size_bytes", Whole, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("blob", String, nullable=False),  # the key of its bytes; each upload has a new one
)
