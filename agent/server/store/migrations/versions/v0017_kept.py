"""Trees that jobs keep, and the jobs that artifacts were brought to."""

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.Float(53)

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add the column and the table. What was uploaded before was kept as nothing."""
    op.add_column("artifacts", sa.Column("kept", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "artifact_reads",
        sa.Column("artifact", Whole, primary_key=True, autoincrement=False),
        sa.Column("run", Whole, primary_key=True, autoincrement=False),
        sa.Column("job", sa.String(), primary_key=True),
        sa.Column("read_at", Time, nullable=False),
    )
    op.create_index("artifact_reads_run", "artifact_reads", ["run"])
    op.create_table(
        "run_projects",
        _reference("run", "runs"),
        _reference("project", "projects"),
    )


def _reference(name: str, table: str) -> sa.Column[int]:
    key = sa.ForeignKey(f"{table}.id", name=f"run_projects_{name}_fkey")
    return sa.Column(name, Whole, key, primary_key=True, autoincrement=False)
