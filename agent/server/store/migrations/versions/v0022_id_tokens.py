"""Keys that sign the tokens with which jobs prove themselves to others."""

import sqlalchemy as sa
from alembic import op

Time = sa.Float(53)

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Add the table. Nobody has been vouched for yet."""
    op.create_table(
        "id_token_keys",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("public", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("signs_from", Time, nullable=False),
        sa.Column("published_until", Time),
    )
