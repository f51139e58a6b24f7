"""Requests that must not happen twice."""

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.Float(53)

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "idempotency_keys",
        sa.Column("owner", sa.String(), primary_key=True),
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("status", Whole),
        sa.Column("answer", sa.LargeBinary()),
    )
    op.create_index("idempotency_keys_created", "idempotency_keys", ["created_at"])
