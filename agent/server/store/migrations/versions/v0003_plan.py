"""Re-runs, timers, approvals and concurrency groups of runs."""

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.Float(53)

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables and columns."""
    _extend_runs()
    _make_attempts()
    _make_environments()
    _make_groups()


def _extend_runs() -> None:
    with op.batch_alter_table("runs") as batch:
        batch.add_column(sa.Column("attempt", Whole, nullable=False, server_default="1"))
        batch.add_column(sa.Column("run_name", sa.String(), nullable=False, server_default=""))
        batch.add_column(sa.Column("called", sa.Text(), nullable=False, server_default="{}"))
        batch.add_column(sa.Column("due_at", Time, nullable=True))
        batch.add_column(sa.Column("events_after", Whole, nullable=False, server_default="0"))
        batch.create_index("runs_due", ["due_at"])
    with op.batch_alter_table("jobs") as batch:
        batch.add_column(sa.Column("attempt", Whole, nullable=False, server_default="1"))
        batch.add_column(sa.Column("run_attempt", Whole, nullable=False, server_default="1"))
        batch.add_column(sa.Column("environment", sa.String(), nullable=False, server_default=""))
        batch.add_column(sa.Column("environment_url", sa.String(), nullable=False, server_default=""))


def _make_attempts() -> None:
    op.create_table(
        "run_attempts",
        sa.Column("run", Whole, nullable=False),
        sa.Column("attempt", Whole, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("conclusion", sa.String(), nullable=True),
        sa.Column("cancel_reason", sa.String(), nullable=True),
        sa.Column("started_at", Time, nullable=True),
        sa.Column("finished_at", Time, nullable=True),
        sa.ForeignKeyConstraint(["run"], ["runs.id"]),
        sa.PrimaryKeyConstraint("run", "attempt"),
    )


def _make_environments() -> None:
    op.create_table(
        "environments",
        sa.Column("id", Whole, autoincrement=True, nullable=False),
        sa.Column("project", Whole, nullable=False, server_default="1"),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("approvals", Whole, nullable=False),
        sa.Column("reviewers", sa.Text(), nullable=False),
        sa.Column("is_own_review_allowed", sa.Boolean(), nullable=False),
        sa.Column("wait_minutes", Time, nullable=False),
        sa.Column("branches", sa.Text(), nullable=False),
        sa.Column("updated_at", Time, nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project", "key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "approvals",
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("run", Whole, nullable=False),
        sa.Column("attempt", Whole, nullable=False),
        sa.Column("commit", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("is_approved", sa.Boolean(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"]),
        sa.PrimaryKeyConstraint("job", "actor"),
    )
    op.create_index("approvals_run", "approvals", ["run"], unique=False)


def _make_groups() -> None:
    op.create_table(
        "group_members",
        sa.Column("id", Whole, autoincrement=True, nullable=False),
        sa.Column("project", Whole, nullable=False, server_default="1"),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("run", Whole, nullable=False),
        sa.Column("attempt", Whole, nullable=False),
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("is_inside", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"]),
        sa.ForeignKeyConstraint(["run"], ["runs.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project", "name", "run", "member"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "group_letters",
        sa.Column("id", Whole, autoincrement=True, nullable=False),
        sa.Column("project", Whole, nullable=False, server_default="1"),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("run", Whole, nullable=False),
        sa.Column("attempt", Whole, nullable=False),
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("cancel_in_progress", sa.Boolean(), nullable=False),
        sa.Column("queue", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"]),
        sa.ForeignKeyConstraint(["run"], ["runs.id"]),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("group_letters_kind", "group_letters", ["kind", "project"], unique=False)
