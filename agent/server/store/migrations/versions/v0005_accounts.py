"""Users, roles, personal tokens, the audit log."""

import time

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.Float(53)

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Tokens for the API that are there already belong to the first user, `admin`."""
    _add_users()
    _add_audit()
    with op.batch_alter_table("projects") as batch:
        batch.add_column(sa.Column("archived_at", Time))
        batch.add_column(sa.Column("settings", sa.Text(), nullable=False, server_default="{}"))
    with op.batch_alter_table("runs") as batch:
        batch.add_column(sa.Column("actor", sa.String(), nullable=False, server_default=""))
    _extend_tokens()


def _add_users() -> None:
    users = op.create_table(
        "users",
        sa.Column("id", Whole, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("password", sa.String()),
        sa.Column("subject", sa.String()),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("disabled_at", Time),
        sa.UniqueConstraint("name", name="users_name_key"),
        sa.UniqueConstraint("subject", name="users_subject_key"),
        sqlite_autoincrement=True,
    )
    first = {"name": "admin", "kind": "person", "is_admin": True, "created_at": time.time()}
    op.bulk_insert(users, [first])
    op.create_table(
        "memberships",
        sa.Column("user", Whole, sa.ForeignKey("users.id", name="memberships_user_fkey"), primary_key=True),
        sa.Column(
            "project", Whole, sa.ForeignKey("projects.id", name="memberships_project_fkey"), primary_key=True
        ),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
    )
    op.create_index("memberships_project", "memberships", ["project"])


def _add_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", Whole, primary_key=True, autoincrement=True),
        sa.Column("time", Time, nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("user", Whole),
        sa.Column("token", sa.String()),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("project", Whole),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_project", "audit", ["project", "id"])
    op.create_index("audit_actor", "audit", ["actor", "id"])


def _extend_tokens() -> None:
    with op.batch_alter_table("tokens") as batch:
        batch.add_column(sa.Column("user", Whole, sa.ForeignKey("users.id", name="tokens_user_fkey")))
        batch.add_column(sa.Column("role", sa.String()))
        batch.add_column(
            sa.Column("project", Whole, sa.ForeignKey("projects.id", name="tokens_project_fkey"))
        )
        batch.add_column(sa.Column("group_name", sa.String(), nullable=False, server_default=""))
        batch.add_column(sa.Column("last_used_at", Time))
        batch.add_column(sa.Column("parent", sa.String()))
    op.create_index("tokens_user", "tokens", ["user", "kind"])
    tokens = sa.table("tokens", sa.column("kind", sa.String()), sa.column("user", Whole))
    op.execute(tokens.update().where(tokens.c.kind == "api").values(user=1))
