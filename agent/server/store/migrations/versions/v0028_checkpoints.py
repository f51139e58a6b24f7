"""Checkpoints of jobs, and jobs that make place for others."""

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.Float(53)

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    """Jobs from before are interrupted for nobody."""
    op.add_column("jobs", sa.Column("interruptible", Whole, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("interrupt_reason", sa.String()))
    op.add_column("jobs", sa.Column("checkpointed_at", Time))
    op.add_column("jobs", sa.Column("resumed", sa.Text(), nullable=False, server_default=""))
