"""Charts of jobs, and what each step used of its machine."""

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Of jobs from before nothing is known."""
    op.add_column("steps", sa.Column("used", sa.Text()))
    reference = sa.ForeignKey("jobs.id", name="charts_job_fkey")
    op.create_table(
        "charts",
        sa.Column("job", sa.String(), reference, primary_key=True),
        sa.Column("lease", Whole, nullable=False),
        sa.Column("offset", Whole, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
