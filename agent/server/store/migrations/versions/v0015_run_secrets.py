"""Secrets of single runs."""

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the table."""
    run = sa.ForeignKey("runs.id", name="run_secrets_run_fkey")
    op.create_table(
        "run_secrets",
        sa.Column("run", Whole, run, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
