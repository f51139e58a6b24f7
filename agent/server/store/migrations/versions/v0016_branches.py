"""Branches of runs: what the server itself has found, and not what somebody said."""

import json

import sqlalchemy as sa
from alembic import op

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the table, with the runs that connected repositories have started. All others are on no branch."""
    run = sa.ForeignKey("runs.id", name="run_branches_run_fkey")
    table = op.create_table(
        "run_branches",
        sa.Column("run", Whole, run, primary_key=True, autoincrement=False),
        sa.Column("repository", sa.String(), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("commit", sa.String(), nullable=False),
        sa.Column("base", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
    )
    started = op.get_bind().execute(
        sa.text(
            "SELECT r.id, r.source, r.event, o.repository, o.is_trusted FROM runs r"
            " JOIN origins o ON o.run = r.id WHERE o.repository IS NOT NULL"
        )
    )
    rows = [_row(*found) for found in started]
    op.bulk_insert(table, [row for row in rows if row["ref"] and row["commit"]])


def _row(run: int, source: str, event: str, repository: str, is_trusted: bool) -> dict[str, object]:  # noqa: FBT001
    """What triggers wrote as the source they had found themselves; the base of a request is known no more."""
    written = json.loads(source)
    ref, commit = str(written.get("ref", "")), str(written.get("commit", ""))
    is_own = bool(is_trusted) and event != "pull_request_target"
    scope = ref if is_own or ref.startswith("refs/pull/") else ""
    return {"run": run, "repository": repository, "ref": ref, "commit": commit, "base": "", "scope": scope}
