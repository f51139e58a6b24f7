"""Several server processes on one database."""

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.Float(53)

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Nobody is connected while the tables change."""
    op.create_table(
        "servers",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("software", sa.String(), nullable=False),
        sa.Column("started_at", Time, nullable=False),
        sa.Column("heartbeat_at", Time, nullable=False),
    )
    op.create_table(
        "installation",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("signing_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
    )
    op.create_table(
        "journals",
        sa.Column("job", sa.String(), primary_key=True),
        sa.Column("lease", Whole, primary_key=True),
        sa.Column("size_bytes", Whole, nullable=False),
    )
    op.create_table(
        "journal_chunks",
        sa.Column("job", sa.String(), primary_key=True),
        sa.Column("lease", Whole, primary_key=True),
        sa.Column("offset", Whole, primary_key=True),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    op.create_index(
        "leases_refused",
        "leases",
        ["ended_at"],
        sqlite_where=sa.text("state = 'refused'"),
        postgresql_where=sa.text("state = 'refused'"),
    )
    if op.get_bind().dialect.name == "sqlite":
        _name_constraints()
    with op.batch_alter_table("agents") as batch:
        batch.add_column(sa.Column("connected_to", sa.String()))
        batch.add_column(sa.Column("connection", Whole, nullable=False, server_default="0"))
        batch.add_column(sa.Column("ready", sa.Text()))
        batch.add_column(sa.Column("figures", sa.Text()))


def _name_constraints() -> None:
    """SQLite keeps constraints without names, as the first version made them; PostgreSQL gave them these."""
    names = {"uq": "%(table_name)s_%(column_0_N_name)s_key"}
    for table in ("tokens", "artifacts"):
        with op.batch_alter_table(
            table,
            recreate="always",
            naming_convention=names,
            table_kwargs={"sqlite_autoincrement": table == "artifacts"},
        ):
            pass
