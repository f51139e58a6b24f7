"""Bulk data, by name; its bytes are blobs."""

from sqlalchemy import Column, ForeignKey, Index, String, Table, Text, UniqueConstraint

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
    Column("kept", Text, nullable=False, server_default=""),  # JSON: what its job kept; empty: an upload
    # Of a tree that is stored by content: how long its manifest is, which is what lies under `blob`. NULL: its bytes do.
    Column("manifest_bytes", Whole),
    UniqueConstraint("run", "name"),
    sqlite_autoincrement=True,
)

# What was brought to whom. Both are named by their numbers: that outlives them.
artifact_reads = Table(
    "artifact_reads",
    metadata,
    Column("artifact", Whole, primary_key=True, autoincrement=False),
    Column("run", Whole, primary_key=True, autoincrement=False),
    Column("job", String, primary_key=True),
    Column("read_at", Time, nullable=False),
)
Index("artifact_reads_run", artifact_reads.c.run)

# Other projects that a run may read: whoever started it may.
run_projects = Table(
    "run_projects",
    metadata,
    Column("run", Whole, ForeignKey("runs.id"), primary_key=True),
    Column("project", Whole, ForeignKey("projects.id"), primary_key=True),
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

# Chunks of trees, many in a blob, stored once in a project. None is ever changed.
packs = Table(
    "packs",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("project", Whole, ForeignKey("projects.id"), nullable=False),
    Column("only_run", Whole),  # the run that alone is told what is in it: it is not trusted; NULL: all are
    Column("blob", String, nullable=False),
    Column("size_bytes", Whole, nullable=False),
    Column("created_at", Time, nullable=False),
    sqlite_autoincrement=True,
)
Index("packs_project", packs.c.project, packs.c.created_at)

chunks = Table(
    "chunks",
    metadata,
    Column("project", Whole, ForeignKey("projects.id"), primary_key=True, autoincrement=False),
    Column("digest", String, primary_key=True),
    Column("pack", Whole, ForeignKey("packs.id"), nullable=False),
    Column("offset", Whole, nullable=False),
    Column("size_bytes", Whole, nullable=False),
)
Index("chunks_pack", chunks.c.pack)

# Which packs an artifact, or the upload of one, counts on: these stay.
pack_claims = Table(
    "pack_claims",
    metadata,
    Column("artifact", Whole, ForeignKey("artifacts.id"), primary_key=True, autoincrement=False),
    Column("pack", Whole, ForeignKey("packs.id"), primary_key=True, autoincrement=False),
)
Index("pack_claims_pack", pack_claims.c.pack)
