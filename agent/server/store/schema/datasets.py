"""Datasets: versions that never change, the files in them, and who has read them.

Runs are named by their numbers and not by a reference: what was made from what outlives the runs.
"""

from sqlalchemy import Column, ForeignKey, Index, String, Table, Text, UniqueConstraint

from agent.server.store.schema.base import Time, Whole, metadata

# Paths are compared byte by byte on both stores: their order is a part of a version's digest.
Path = String(collation="C").with_variant(String(), "sqlite")

datasets = Table(
    "datasets",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("project", Whole, ForeignKey("projects.id"), nullable=False),
    Column("name", String, nullable=False),
    Column("description", Text, nullable=False),
    Column("actor", String, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("last_version", Whole, nullable=False),  # the number given last; none is given twice
    UniqueConstraint("project", "name"),
    sqlite_autoincrement=True,
)

dataset_versions = Table(
    "dataset_versions",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("dataset", Whole, ForeignKey("datasets.id"), nullable=False),
    Column("number", Whole),  # NULL: a draft, which nobody sees but its owner
    Column("owner", String, nullable=False),  # who alone may add to the draft: user/ID, job/ID
    Column("actor", String, nullable=False),
    Column("message", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("digest", String, nullable=False),  # of the manifest; empty for a draft
    Column("files", Whole, nullable=False),  # of a draft: how many were ever named
    Column("size_bytes", Whole, nullable=False),
    Column("run", Whole),  # that made it
    Column("job", String, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("committed_at", Time),
    UniqueConstraint("dataset", "number"),
    sqlite_autoincrement=True,
)
Index("dataset_versions_run", dataset_versions.c.run)

dataset_files = Table(
    "dataset_files",
    metadata,
    Column("version", Whole, ForeignKey("dataset_versions.id"), primary_key=True),
    Column("path", Path, primary_key=True),
    Column("digest", String, nullable=False),
    Column("size_bytes", Whole, nullable=False),
    Column("mode", String, nullable=False),  # 644, 755
)
Index("dataset_files_digest", dataset_files.c.digest)

dataset_blobs = Table(
    "dataset_blobs",
    metadata,
    Column("project", Whole, ForeignKey("projects.id"), primary_key=True),
    Column("digest", String, primary_key=True),
    Column("blob", String, nullable=False),  # the key of its bytes; each upload has a new one
    Column("size_bytes", Whole, nullable=False),
    Column("created_at", Time, nullable=False),
)

dataset_usage = Table(
    "dataset_usage",
    metadata,
    Column("project", Whole, ForeignKey("projects.id"), primary_key=True),
    Column("size_bytes", Whole, nullable=False),  # of all its contents: added up as they come and go
)

dataset_reads = Table(
    "dataset_reads",
    metadata,
    Column("version", Whole, ForeignKey("dataset_versions.id"), primary_key=True),
    Column("run", Whole, primary_key=True),
    Column("job", String, primary_key=True),
    Column("read_at", Time, nullable=False),
)
Index("dataset_reads_run", dataset_reads.c.run)
