"""The generation of an agent's state."""

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Of agents from before nothing is known, and they are taken for what they say they are."""
    op.add_column("agents", sa.Column("generation", Whole, nullable=False, server_default="0"))
