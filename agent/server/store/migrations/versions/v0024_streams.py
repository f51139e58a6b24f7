"""Flows of stages: bookmarks, queues, figures, kept records; and deployments, which keep them alive."""

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.Float(53)

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Add the tables. No flow has had stages before."""
    _add_queues()
    _add_figures()
    _add_deployments()


def _add_queues() -> None:
    op.create_table(
        "bookmarks",
        _project_key("bookmarks"),
        sa.Column("flow", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("value", sa.Text()),
        sa.Column("fence", Whole, nullable=False),
        sa.Column("holder", sa.String()),
        sa.Column("lease", Whole, nullable=False, server_default="0"),
        sa.Column("seconds", Time, nullable=False),
        sa.Column("beat", Whole, nullable=False, server_default="0"),
        sa.Column("used_at", Time, nullable=False),
    )
    op.create_table(
        "queues",
        sa.Column("id", Whole, primary_key=True, autoincrement=True),
        sa.Column("project", Whole, _reference("queues", "project"), nullable=False),
        sa.Column("flow", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("records", Whole, nullable=False, server_default="0"),
        sa.Column("size_bytes", Whole, nullable=False, server_default="0"),
        sa.Column("used_at", Time, nullable=False),
        sa.UniqueConstraint("project", "flow", "path", name="queues_project_flow_path_key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "queue_records",
        sa.Column(
            "queue", Whole, _reference("queue_records", "queue"), primary_key=True, autoincrement=False
        ),
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("form", sa.String(), nullable=False),
        sa.Column("media", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", Whole, nullable=False),
        sa.Column("received_at", Time, nullable=False),
        sa.Column("holder", sa.String()),
        sa.Column("lease", Whole, nullable=False, server_default="0"),
        sa.Column("turn", sa.String(), nullable=False, server_default=""),
    )
    for name, columns, condition in (
        ("queue_records_free", ["queue", "received_at"], "holder IS NULL"),
        ("queue_records_taken", ["queue", "holder"], "holder IS NOT NULL"),
    ):
        is_it = sa.text(condition)
        op.create_index(name, "queue_records", columns, sqlite_where=is_it, postgresql_where=is_it)


def _add_figures() -> None:
    op.create_table(
        "stage_figures",
        sa.Column("job", sa.String(), _reference("stage_figures", "job"), primary_key=True),
        sa.Column("lease", Whole, nullable=False),
        sa.Column("stages", sa.Text(), nullable=False),
        sa.Column("at", Time, nullable=False),
    )
    op.create_table(
        "stage_totals",
        _project_key("stage_totals"),
        sa.Column("flow", sa.String(), primary_key=True),
        sa.Column("stage", sa.String(), primary_key=True),
        sa.Column("figures", sa.Text(), nullable=False),
        sa.Column("used_at", Time, nullable=False),
    )
    op.create_table(
        "record_segments",
        sa.Column("id", Whole, primary_key=True, autoincrement=True),
        sa.Column("project", Whole, _reference("record_segments", "project"), nullable=False),
        sa.Column("flow", sa.String(), nullable=False),
        sa.Column("run", Whole, _reference("record_segments", "run"), nullable=False),
        sa.Column("job", sa.String(), _reference("record_segments", "job"), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("blob", sa.String(), nullable=False),
        sa.Column("size_bytes", Whole, nullable=False),
        sa.Column("records", Whole, nullable=False),
        sa.Column("first_at", Time, nullable=False),
        sa.Column("last_at", Time, nullable=False),
        sa.Column("kept_at", Time, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("record_segments_flow", "record_segments", ["project", "flow", "id"])
    op.create_index("record_segments_run", "record_segments", ["run", "id"])


def _add_deployments() -> None:
    op.create_table(
        "deployments",
        sa.Column("id", Whole, primary_key=True, autoincrement=True),
        sa.Column("project", Whole, _reference("deployments", "project"), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("flow", sa.String(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("dialect", sa.String()),
        sa.Column("called", sa.Text(), nullable=False, server_default="{}"),
        sa.Column("source", sa.Text(), nullable=False, server_default="{}"),
        sa.Column("lock", sa.Text()),
        sa.Column("labels", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("replicas", Whole, nullable=False),
        sa.Column("generation", Whole, nullable=False),
        sa.Column("is_alone", Whole, nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("changed_at", Time, nullable=False),
        sa.Column("due_at", Time),
        sa.UniqueConstraint("project", "name", name="deployments_project_name_key"),
        sa.UniqueConstraint("project", "flow", name="deployments_project_flow_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("deployments_due", "deployments", ["due_at"])
    op.create_table(
        "deployment_paths",
        _project_key("deployment_paths"),
        sa.Column("path", sa.String(), primary_key=True),
        sa.Column("deployment", Whole, _reference("deployment_paths", "deployment"), nullable=False),
        sa.Column("flow", sa.String(), nullable=False),
        sa.Column("methods", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
    )
    op.create_table(
        "replicas",
        sa.Column(
            "deployment", Whole, _reference("replicas", "deployment"), primary_key=True, autoincrement=False
        ),
        sa.Column("number", Whole, primary_key=True, autoincrement=False),
        sa.Column("failures", Whole, nullable=False, server_default="0"),
        sa.Column("due_at", Time),
        sa.Column("message", sa.Text(), nullable=False, server_default=""),
    )
    op.create_table(
        "deployment_runs",
        sa.Column("run", Whole, _reference("deployment_runs", "run"), primary_key=True, autoincrement=False),
        sa.Column("deployment", Whole, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("replica", Whole, nullable=False),
        sa.Column("generation", Whole, nullable=False),
        sa.Column("started_at", Time, nullable=False),
        sa.Column("ended_at", Time),
    )
    op.create_index("deployment_runs_deployment", "deployment_runs", ["deployment", "ended_at"])


def _project_key(table: str) -> "sa.Column[int]":
    return sa.Column("project", Whole, _reference(table, "project"), primary_key=True, autoincrement=False)


def _reference(table: str, column: str) -> sa.ForeignKey:
    return sa.ForeignKey(f"{column}s.id", name=f"{table}_{column}_fkey")
