"""Projects: what runs belong to."""

import time

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.Float(53)

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the table with its first row, and the column to runs and jobs; drop the home-made schema number."""
    projects = op.create_table(
        "projects",
        sa.Column("id", Whole, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.UniqueConstraint("name"),
        sqlite_autoincrement=True,
    )
    op.bulk_insert(projects, [{"name": "default", "created_at": time.time()}])
    for table in ("runs", "jobs"):
        # SQLite's are rebuilt; that they never use a number twice is not seen in them.
        with op.batch_alter_table(table, table_kwargs={"sqlite_autoincrement": table == "runs"}) as batch:
            batch.add_column(
                sa.Column(
                    "project",
                    Whole,
                    sa.ForeignKey("projects.id", name=f"{table}_project_fkey"),
                    nullable=False,
                    server_default="1",
                )
            )
    op.drop_table("meta")
