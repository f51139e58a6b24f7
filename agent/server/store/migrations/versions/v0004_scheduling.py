"""Priorities, resources, GPUs and gangs of jobs; what the server says of agents."""

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.Float(53)

revision = "0004"
down_revision = "0003"

_QUEUED = sa.text("status = 'queued' AND node_rank = 0")
_GANG = sa.text("gang IS NOT NULL")


def upgrade() -> None:
    """Jobs that wait already keep their places."""
    with op.batch_alter_table("jobs") as batch:
        batch.add_column(sa.Column("priority", Whole, nullable=False, server_default="0"))
        batch.add_column(sa.Column("ranked_at", Time))
        batch.add_column(sa.Column("request", sa.Text(), nullable=False, server_default="{}"))
        batch.add_column(sa.Column("nodes", Whole, nullable=False, server_default="1"))
        batch.add_column(sa.Column("limit_seconds", Time))
        batch.add_column(sa.Column("gpus", sa.Text(), nullable=False, server_default="[]"))
        batch.add_column(sa.Column("gang", sa.String()))
        batch.add_column(sa.Column("node_rank", Whole, nullable=False, server_default="0"))
    op.execute("UPDATE jobs SET ranked_at = queued_at")
    op.create_index(
        "jobs_queue", "jobs", ["project", "ranked_at"], sqlite_where=_QUEUED, postgresql_where=_QUEUED
    )
    op.create_index("jobs_gang", "jobs", ["gang"], sqlite_where=_GANG, postgresql_where=_GANG)
    with op.batch_alter_table("agents") as batch:
        batch.add_column(sa.Column("set_labels", sa.Text()))
        batch.add_column(sa.Column("set_max_jobs", Whole))
        batch.add_column(sa.Column("set_draining", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch.add_column(sa.Column("projects", sa.Text()))
        batch.add_column(sa.Column("address", sa.String(), nullable=False, server_default=""))
