"""Datasets with versions, and who has read them."""

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.Float(53)
Path = sa.String(collation="C").with_variant(sa.String(), "sqlite")

revision = "0014"
down_revision = "0012"


def upgrade() -> None:
    """Add the tables."""
    _add_datasets()
    _add_contents()
    op.create_table(
        "dataset_reads",
        _version("dataset_reads"),
        sa.Column("run", Whole, primary_key=True, autoincrement=False),
        sa.Column("job", sa.String(), primary_key=True),
        sa.Column("read_at", Time, nullable=False),
    )
    op.create_index("dataset_reads_run", "dataset_reads", ["run"])


def _version(table: str) -> sa.Column[int]:
    reference = sa.ForeignKey("dataset_versions.id", name=f"{table}_version_fkey")
    return sa.Column("version", Whole, reference, primary_key=True, autoincrement=False)


def _add_datasets() -> None:
    project = sa.ForeignKey("projects.id", name="datasets_project_fkey")
    op.create_table(
        "datasets",
        sa.Column("id", Whole, primary_key=True, autoincrement=True),
        sa.Column("project", Whole, project, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("last_version", Whole, nullable=False),
        sa.UniqueConstraint("project", "name", name="datasets_project_name_key"),
        sqlite_autoincrement=True,
    )
    dataset = sa.ForeignKey("datasets.id", name="dataset_versions_dataset_fkey")
    op.create_table(
        "dataset_versions",
        sa.Column("id", Whole, primary_key=True, autoincrement=True),
        sa.Column("dataset", Whole, dataset, nullable=False),
        sa.Column("number", Whole),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("files", Whole, nullable=False),
        sa.Column("size_bytes", Whole, nullable=False),
        sa.Column("run", Whole),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("committed_at", Time),
        sa.UniqueConstraint("dataset", "number", name="dataset_versions_dataset_number_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("dataset_versions_run", "dataset_versions", ["run"])


def _add_contents() -> None:
    op.create_table(
        "dataset_files",
        _version("dataset_files"),
        sa.Column("path", Path, primary_key=True),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("size_bytes", Whole, nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
    )
    op.create_index("dataset_files_digest", "dataset_files", ["digest"])
    project = sa.ForeignKey("projects.id", name="dataset_blobs_project_fkey")
    op.create_table(
        "dataset_blobs",
        sa.Column("project", Whole, project, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(), primary_key=True),
        sa.Column("blob", sa.String(), nullable=False),
        sa.Column("size_bytes", Whole, nullable=False),
        sa.Column("created_at", Time, nullable=False),
    )
    project = sa.ForeignKey("projects.id", name="dataset_usage_project_fkey")
    op.create_table(
        "dataset_usage",
        sa.Column("project", Whole, project, primary_key=True, autoincrement=False),
        sa.Column("size_bytes", Whole, nullable=False),
    )
