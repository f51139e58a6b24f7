"""Forms that steps wait for people to fill in."""

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.Float(53)

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Add the table. No step has asked before."""
    op.create_table(
        "forms",
        sa.Column("job", sa.String(), sa.ForeignKey("jobs.id", name="forms_job_fkey"), primary_key=True),
        sa.Column("lease", Whole, primary_key=True, autoincrement=False),
        sa.Column("step", Whole, primary_key=True, autoincrement=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column("asked_at", Time, nullable=False),
        sa.Column("values", sa.Text()),
        sa.Column("answered_by", sa.String()),
        sa.Column("answered_at", Time),
        sa.Column("ended_at", Time),
    )
