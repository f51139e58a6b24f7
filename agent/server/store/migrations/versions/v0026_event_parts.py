"""Long events of runs, once a run, apart from its state and its jobs."""

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    """Add the table. What runs have in their records stays there."""
    run = sa.ForeignKey("runs.id", name="event_parts_run_fkey")
    op.create_table(
        "event_parts",
        sa.Column("run", Whole, run, primary_key=True, autoincrement=False),
        sa.Column("place", Whole, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
