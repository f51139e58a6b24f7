"""Tables of what runs need beside their own rows: earlier attempts, environments with their approvals, concurrency groups."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, String, Table, Text, UniqueConstraint

from agent.server.store.schema.base import Time, Whole, metadata

run_attempts = Table(
    "run_attempts",
    metadata,
    Column("run", Whole, ForeignKey("runs.id"), primary_key=True),
    Column("attempt", Whole, primary_key=True),
    Column("state", Text, nullable=False),  # agent.plan.RunState, as it ended
    Column("actor", String, nullable=False),  # who asked for the attempt that came after it
    Column("conclusion", String),
    Column("cancel_reason", String),
    Column("started_at", Time),
    Column("finished_at", Time),
)

environments = Table(
    "environments",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("project", Whole, ForeignKey("projects.id"), nullable=False, server_default="1"),
    Column("key", String, nullable=False),  # the name without its case
    Column("name", String, nullable=False),
    Column("approvals", Whole, nullable=False),  # how many people have to let a job in
    Column("reviewers", Text, nullable=False),  # JSON: names of users; empty: every maintainer
    Column("is_own_review_allowed", Boolean, nullable=False),  # of a run that one started oneself
    Column("wait_minutes", Time, nullable=False),
    Column("branches", Text, nullable=False),  # JSON: patterns of branches and tags; empty: all
    Column("updated_at", Time, nullable=False),
    UniqueConstraint("project", "key"),
    sqlite_autoincrement=True,
)

approvals = Table(
    "approvals",
    metadata,
    Column("job", String, primary_key=True),  # a job's id is of one attempt and one commit
    Column("actor", String, primary_key=True),
    Column("run", Whole, ForeignKey("runs.id"), nullable=False),
    Column("attempt", Whole, nullable=False),
    Column("commit", String, nullable=False),
    Column("key", String, nullable=False),  # the job's
    Column("environment", String, nullable=False),
    Column("is_approved", Boolean, nullable=False),
    Column("comment", Text, nullable=False),
    Column("created_at", Time, nullable=False),
)
Index("approvals_run", approvals.c.run)

# Who is in a group or waits for it. Only the keeper of the groups writes it.
group_members = Table(
    "group_members",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),  # who comes first has the smaller
    Column("project", Whole, ForeignKey("projects.id"), nullable=False, server_default="1"),
    Column("name", String, nullable=False),  # of the group, without its case
    Column("run", Whole, ForeignKey("runs.id"), nullable=False),
    Column("attempt", Whole, nullable=False),
    Column("member", String, nullable=False),  # a job's key; "" for the run
    Column("is_inside", Boolean, nullable=False),
    UniqueConstraint("project", "name", "run", "member"),
    sqlite_autoincrement=True,
)

# What runs tell the keeper (join, leave), and what it tells them (entered, lost). Rows are written once, and removed
# when they were heeded, so that neither side ever waits for a row of the other.
group_letters = Table(
    "group_letters",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("project", Whole, ForeignKey("projects.id"), nullable=False, server_default="1"),
    Column("name", String, nullable=False),
    Column("run", Whole, ForeignKey("runs.id"), nullable=False),
    Column("attempt", Whole, nullable=False),
    Column("member", String, nullable=False),
    Column("kind", String, nullable=False),  # join, leave; entered, lost
    Column("cancel_in_progress", Boolean, nullable=False),
    Column("queue", String, nullable=False),
    Column("reason", Text, nullable=False),
    sqlite_autoincrement=True,
)
Index("group_letters_kind", group_letters.c.kind, group_letters.c.project)
