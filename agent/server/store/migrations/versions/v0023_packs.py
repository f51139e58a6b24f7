"""Trees that are stored by content: their chunks, in packs."""

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.Float(53)

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Add the column and the tables. What was uploaded before is a blob of its own, and stays one."""
    op.add_column("artifacts", sa.Column("manifest_bytes", Whole))
    op.create_table(
        "packs",
        sa.Column("id", Whole, primary_key=True, autoincrement=True),
        sa.Column("project", Whole, _reference("packs", "project"), nullable=False),
        sa.Column("only_run", Whole),
        sa.Column("blob", sa.String(), nullable=False),
        sa.Column("size_bytes", Whole, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("packs_project", "packs", ["project", "created_at"])
    op.create_table(
        "chunks",
        sa.Column("project", Whole, _reference("chunks", "project"), primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(), primary_key=True),
        sa.Column("pack", Whole, _reference("chunks", "pack"), nullable=False),
        sa.Column("offset", Whole, nullable=False),
        sa.Column("size_bytes", Whole, nullable=False),
    )
    op.create_index("chunks_pack", "chunks", ["pack"])
    op.create_table(
        "pack_claims",
        sa.Column(
            "artifact", Whole, _reference("pack_claims", "artifact"), primary_key=True, autoincrement=False
        ),
        sa.Column("pack", Whole, _reference("pack_claims", "pack"), primary_key=True, autoincrement=False),
    )
    op.create_index("pack_claims_pack", "pack_claims", ["pack"])


def _reference(table: str, column: str) -> sa.ForeignKey:
    return sa.ForeignKey(f"{column}s.id", name=f"{table}_{column}_fkey")
