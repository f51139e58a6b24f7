"""The room of a running job, which it gives back while it waits for people."""

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Jobs from before have all that they were given."""
    op.add_column("forms", sa.Column("gave_back", Whole, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("room", sa.String(), nullable=False, server_default="held"))
