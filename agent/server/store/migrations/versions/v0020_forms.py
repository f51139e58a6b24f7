"""Forms that steps wait for people to fill in, and results of cached actions."""

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.Float(53)

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Add the tables. No step has asked before, and nothing was kept."""
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
    op.create_table(
        "step_results",
        sa.Column("project", Whole, primary_key=True, autoincrement=False),
        sa.Column("scope", sa.String(), primary_key=True),
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("outputs", sa.Text(), nullable=False),
        sa.Column("run", Whole, nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("used_at", Time, nullable=False),
    )
    op.create_index("step_results_used", "step_results", ["project", "used_at"])
