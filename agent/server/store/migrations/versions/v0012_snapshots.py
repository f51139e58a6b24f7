"""Snapshots belong to projects."""

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.Float(53)

revision = "0012"
down_revision = "0009"


def upgrade() -> None:
    """Each project has the snapshots that its runs work on; what no run does was the first project's. Bytes stay."""
    op.rename_table("snapshots", "snapshots_of_all")
    op.create_table(
        "snapshots",
        sa.Column(
            "project", Whole, sa.ForeignKey("projects.id", name="snapshots_project_fkey"), nullable=False
        ),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("size_bytes", Whole, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("blob", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("project", "digest", name="snapshots_of_projects_pkey"),
    )
    column_names = "project, digest, size_bytes, created_at, blob"
    values = "s.digest, s.size_bytes, s.created_at, 'snapshots/' || substr(s.digest, 8)"
    is_used = "r.source LIKE '%' || s.digest || '%'"
    op.execute(
        f"INSERT INTO snapshots ({column_names}) SELECT DISTINCT r.project, {values}"  # noqa: S608 - our names
        f" FROM snapshots_of_all s JOIN runs r ON {is_used}"
    )
    op.execute(
        f"INSERT INTO snapshots ({column_names}) SELECT 1, {values} FROM snapshots_of_all s"  # noqa: S608
        f" WHERE NOT EXISTS (SELECT 1 FROM runs r WHERE {is_used})"
    )
    op.drop_table("snapshots_of_all")
    if (
        op.get_bind().dialect.name == "postgresql"
    ):  # where the old table had this name for as long as it was there
        op.execute("ALTER TABLE snapshots RENAME CONSTRAINT snapshots_of_projects_pkey TO snapshots_pkey")
