"""Connected repositories, webhooks, schedules."""

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.Float(53)

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the tables."""
    _make_flows()
    _make_deliveries()


def _make_flows() -> None:
    op.create_table(
        "repositories",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project", Whole, nullable=False, server_default="1"),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("api_url", sa.String(), nullable=False),
        sa.Column("default_branch", sa.String(), nullable=False),
        sa.Column("folders", sa.Text(), nullable=False),
        sa.Column("forks", sa.String(), nullable=False),
        sa.Column("reports_status", sa.Boolean(), nullable=False),
        sa.Column("credentials", sa.LargeBinary(), nullable=True),
        sa.Column("secret", sa.LargeBinary(), nullable=True),
        sa.Column("head", sa.String(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("synced_at", Time, nullable=True),
        sa.Column("created_at", Time, nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project", "name"),
    )
    op.create_table(
        "flows",
        sa.Column("id", Whole, autoincrement=True, nullable=False),
        sa.Column("project", Whole, nullable=False, server_default="1"),
        sa.Column("repository", sa.String(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("dialect", sa.String(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("called", sa.Text(), nullable=False),
        sa.Column("problems", sa.Text(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("updated_at", Time, nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"]),
        sa.ForeignKeyConstraint(["repository"], ["repositories.id"]),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "flows_name",
        "flows",
        ["project", "name"],
        unique=True,
        sqlite_where=sa.text("repository IS NULL"),
        postgresql_where=sa.text("repository IS NULL"),
    )
    op.create_index("flows_repository", "flows", ["repository", "name"], unique=True)
    op.create_table(
        "flow_events",
        sa.Column("flow", Whole, nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["flow"], ["flows.id"]),
        sa.PrimaryKeyConstraint("flow", "event"),
    )
    op.create_index("flow_events_event", "flow_events", ["event"], unique=False)
    op.create_table(
        "schedules",
        sa.Column("flow", Whole, nullable=False),
        sa.Column("cron", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("due_at", Time, nullable=False),
        sa.Column("started_at", Time, nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["flow"], ["flows.id"]),
        sa.PrimaryKeyConstraint("flow", "cron", "zone"),
    )
    op.create_index("schedules_due", "schedules", ["due_at"], unique=False)
    op.create_table(
        "webhooks",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("project", Whole, nullable=False, server_default="1"),
        sa.Column("flow", Whole, nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"]),
        sa.ForeignKeyConstraint(["flow"], ["flows.id"]),
        sa.PrimaryKeyConstraint("name"),
    )


def _make_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", Whole, autoincrement=True, nullable=False),
        sa.Column("project", Whole, nullable=False, server_default="1"),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("identifier", sa.String(), nullable=False),
        sa.Column("replay_key", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("depth", Whole, nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("is_approved", sa.Boolean(), nullable=False),
        sa.Column("attempt", Whole, nullable=False),
        sa.Column("due_at", Time, nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("results", sa.Text(), nullable=False),
        sa.Column("received_at", Time, nullable=False),
        sa.Column("finished_at", Time, nullable=True),
        sa.ForeignKeyConstraint(["project"], ["projects.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("scope", "identifier"),
        sa.UniqueConstraint("scope", "replay_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("deliveries_due", "deliveries", ["due_at"], unique=False)
    op.create_index("deliveries_subject", "deliveries", ["scope", "subject"], unique=False)
    op.create_table(
        "origins",
        sa.Column("run", Whole, nullable=False),
        sa.Column("start", sa.String(), nullable=False),
        sa.Column("delivery", Whole, nullable=True),
        sa.Column("repository", sa.String(), nullable=True),
        sa.Column("flow", sa.String(), nullable=False),
        sa.Column("commit", sa.String(), nullable=False),
        sa.Column("is_trusted", sa.Boolean(), nullable=False),
        sa.Column("depth", Whole, nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"]),
        sa.PrimaryKeyConstraint("run"),
        sa.UniqueConstraint("start"),
    )
    op.create_index("origins_delivery", "origins", ["delivery"], unique=False)
    op.create_table(
        "status_reports",
        sa.Column("id", Whole, autoincrement=True, nullable=False),
        sa.Column("repository", sa.String(), nullable=False),
        sa.Column("run", Whole, nullable=True),
        sa.Column("commit", sa.String(), nullable=False),
        sa.Column("context", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("attempt", Whole, nullable=False),
        sa.Column("due_at", Time, nullable=True),
        sa.Column("sent_at", Time, nullable=True),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["repository"], ["repositories.id"]),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("status_reports_due", "status_reports", ["due_at"], unique=False)
    op.create_index("status_reports_run", "status_reports", ["run", "id"], unique=False)
