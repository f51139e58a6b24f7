"""Levels of secrets and variables; caches, tags, archived logs."""

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.Float(53)

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Secrets and variables that are there become the organisation's; artifacts name their bytes."""
    with op.batch_alter_table("artifacts") as batch:
        batch.add_column(sa.Column("blob", sa.String(), nullable=False, server_default=""))
    op.execute("UPDATE artifacts SET blob = 'artifacts/' || id")
    _give_levels("secrets", sa.Column("sealed", sa.LargeBinary(), nullable=False), refs=True)
    _give_levels("variables", sa.Column("value", sa.Text(), nullable=False), refs=False)
    _add_caches()
    _add_tags()
    _add_archives()


def _give_levels(table: str, value: sa.Column[object], *, refs: bool) -> None:
    op.rename_table(table, f"old_{table}")
    if op.get_bind().dialect.name != "sqlite":
        op.execute(f"ALTER INDEX {table}_pkey RENAME TO old_{table}_pkey")
    op.create_table(
        table,
        sa.Column("project", Whole, primary_key=True, autoincrement=False),
        sa.Column("environment", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        value,
        *([sa.Column("refs", sa.Text(), nullable=False)] if refs else []),
        sa.Column("updated_at", Time, nullable=False),
    )
    more = (", refs", ", '[]'") if refs else ("", "")
    op.execute(
        f"INSERT INTO {table} (project, environment, name, {value.name}{more[0]}, updated_at) "  # noqa: S608 - our names
        f"SELECT 0, '', name, {value.name}{more[1]}, updated_at FROM old_{table}"
    )
    op.drop_table(f"old_{table}")


def _add_caches() -> None:
    op.create_table(
        "caches",
        sa.Column("id", Whole, primary_key=True, autoincrement=True),
        sa.Column("project", Whole, sa.ForeignKey("projects.id", name="caches_project_fkey"), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("blob", sa.String(), nullable=False),
        sa.Column("size_bytes", Whole, nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("used_at", Time, nullable=False),
        sa.UniqueConstraint(
            "project", "scope", "version", "key", name="caches_project_scope_version_key_key"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("caches_used", "caches", ["project", "used_at"])


def _add_tags() -> None:
    op.create_table(
        "tags",
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("thing", Whole, primary_key=True, autoincrement=False),
        sa.Column("tag", sa.String(), primary_key=True),
        sa.Column("project", Whole, sa.ForeignKey("projects.id", name="tags_project_fkey"), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
    )
    op.create_index("tags_tag", "tags", ["project", "tag"])


def _add_archives() -> None:
    op.create_table(
        "archives",
        sa.Column("job", sa.String(), sa.ForeignKey("jobs.id", name="archives_job_fkey"), primary_key=True),
        sa.Column("lease", Whole, primary_key=True, autoincrement=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("due_at", Time),
        sa.Column("blob", sa.String(), nullable=False),
        sa.Column("size_bytes", Whole, nullable=False),
        sa.Column("journal_bytes", Whole, nullable=False),
    )
    op.create_index("archives_due", "archives", ["due_at"])
