"""The tables. Times are seconds since the epoch, UTC; JSON is text that `agent.spec.codec` or `json` wrote."""

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_VERSION = 1

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
)

agents = Table(
    "agents",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("group_name", String, nullable=False),
    Column("labels", Text, nullable=False),  # JSON list: those of the registration and of the token
    Column("max_jobs", Integer, nullable=False),
    Column("is_ephemeral", Boolean, nullable=False),
    Column("is_draining", Boolean, nullable=False),
    Column("identity", Text, nullable=False),  # JSON: public halves only
    Column("inventory", Text, nullable=False),
    Column("software", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("last_seen_at", Float, nullable=False),
    Column("removed_at", Float),  # set: the identity is refused for ever
)
Index("agents_name", agents.c.name, unique=True, sqlite_where=agents.c.removed_at.is_(None))

tokens = Table(
    "tokens",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),  # api, registration
    Column("hash", String, nullable=False, unique=True),  # SHA-256 in hex; the token itself is nowhere
    Column("name", String, nullable=False),
    Column("labels", Text, nullable=False),
    Column("uses_left", Integer),  # NULL: no limit
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("number", Integer, nullable=False),  # of this flow file, from 1
    Column("file", String, nullable=False),
    Column("dialect", String),
    Column("title", String, nullable=False),
    Column("text", Text, nullable=False),  # the flow as submitted
    Column("event", String, nullable=False),
    Column("source", Text, nullable=False),
    Column("state", Text, nullable=False),  # agent.plan.RunState
    Column("status", String, nullable=False),  # queued, running, completed
    Column("conclusion", String),
    Column("cancel_reason", String),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    sqlite_autoincrement=True,
)
Index("runs_file", runs.c.file, runs.c.number)
Index("runs_status", runs.c.status, runs.c.id)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String, primary_key=True),
    Column("run", Integer, ForeignKey("runs.id"), nullable=False),
    Column("place", Integer, nullable=False),  # among the run's jobs, in the order in which they came to be
    Column("key", String, nullable=False),
    Column("name", String, nullable=False),
    Column("status", String, nullable=False),  # queued, assigned, running, completed
    Column("conclusion", String),
    Column("failure_kind", String),
    Column("message", Text, nullable=False, default=""),
    Column("outputs", Text, nullable=False, default="{}"),
    Column("spec", Text),  # agent.spec.job.JobSpec; NULL when the job ended before it could be queued
    Column("runs_on", Text, nullable=False, default="[]"),
    Column("group_name", String, nullable=False, default=""),
    Column("waiting", Text, nullable=False, default=""),  # why it is still queued, in words
    Column("lease", Integer, nullable=False, default=0),  # only grows
    Column("agent", String),
    Column("cancel_reason", String),  # set: to be cancelled, whoever holds it
    Column("machine", Text),  # JSON: what the result was made on
    Column("journal_applied", Integer, nullable=False, default=0),
    Column("queued_at", Float),
    Column("assigned_at", Float),
    Column("started_at", Float),
    Column("finished_at", Float),
)
Index("jobs_run", jobs.c.run)
Index("jobs_status", jobs.c.status, jobs.c.queued_at)
Index("jobs_agent", jobs.c.agent, jobs.c.status)

leases = Table(
    "leases",
    metadata,
    Column("job", String, ForeignKey("jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("agent", String, nullable=False),
    Column("state", String, nullable=False),  # agent.wire.lease.LeaseState
    Column("deadline", Float),
    Column("offered_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("reason", Text, nullable=False, default=""),
)
Index("leases_deadline", leases.c.deadline)

steps = Table(
    "steps",
    metadata,
    Column("job", String, ForeignKey("jobs.id"), primary_key=True),
    Column("lease", Integer, primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("parent", Integer),
    Column("state", String, nullable=False),
    Column("outcome", String),
    Column("conclusion", String),
    Column("seconds", Float),
    Column("started_at", Float),
    Column("outputs", Text, nullable=False),
)

annotations = Table(
    "annotations",
    metadata,
    Column("job", String, ForeignKey("jobs.id"), primary_key=True),
    Column("lease", Integer, primary_key=True),
    Column("offset", Integer, primary_key=True),  # of the record's end: applying twice changes nothing
    Column("record", Text, nullable=False),
)

summaries = Table(
    "summaries",
    metadata,
    Column("job", String, ForeignKey("jobs.id"), primary_key=True),
    Column("lease", Integer, primary_key=True),
    Column("offset", Integer, primary_key=True),
    Column("step", Integer, nullable=False),
    Column("text", Text, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run", Integer, ForeignKey("runs.id"), nullable=False),
    Column("job", String, nullable=False),
    Column("name", String, nullable=False),
    Column("mime_type", String, nullable=False),
    Column("status", String, nullable=False),  # uploading, uploaded, final
    Column("size_bytes", Integer, nullable=False),
    Column("digest", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    UniqueConstraint("run", "name"),
    sqlite_autoincrement=True,
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", String, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # under the master key, bound to the name
    Column("updated_at", Float, nullable=False),
)

variables = Table(
    "variables",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
    Column("updated_at", Float, nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("digest", String, primary_key=True),
    Column("size_bytes", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run", Integer, ForeignKey("runs.id"), nullable=False),
    Column("kind", String, nullable=False),  # run, job
    Column("data", Text, nullable=False),
    Column("time", Float, nullable=False),
    sqlite_autoincrement=True,
)
Index("events_run", events.c.run, events.c.id)
