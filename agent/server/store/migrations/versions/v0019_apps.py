"""Apps of jobs: the ports that they open for people."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0017"


def upgrade() -> None:
    """Jobs from before have none."""
    op.add_column("jobs", sa.Column("apps", sa.Text(), nullable=False, server_default="[]"))
