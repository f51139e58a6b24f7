"""Flows of stages: what outlives their jobs (bookmarks, queues), what is known of them (figures, kept records), and
deployments, which keep them alive.
"""

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, String, Table, Text, UniqueConstraint

from agent.server.store.schema.base import Time, Whole, metadata, one_of
from agent.server.store.states import RecordForm, SegmentKind

bookmarks = Table(
    "bookmarks",
    metadata,
    Column("project", Whole, ForeignKey("projects.id"), primary_key=True, autoincrement=False),
    Column("flow", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("value", Text),  # JSON; NULL: never put
    Column("fence", Whole, nullable=False),  # grows with each holder
    Column("holder", String),  # the job that has it, under `lease`; NULL: nobody has
    Column("lease", Whole, nullable=False, server_default="0"),
    Column("seconds", Time, nullable=False),  # so long it is held, since a look that found another `beat`
    Column("beat", Whole, nullable=False, server_default="0"),  # grows whenever its holder keeps it
    Column("used_at", Time, nullable=False),
)

queues = Table(
    "queues",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("project", Whole, ForeignKey("projects.id"), nullable=False),
    Column("flow", String, nullable=False),
    Column("path", String, nullable=False),
    Column("records", Whole, nullable=False, server_default="0"),  # that are in it
    Column("size_bytes", Whole, nullable=False, server_default="0"),  # what they count for
    Column("used_at", Time, nullable=False),
    UniqueConstraint("project", "flow", "path"),
    sqlite_autoincrement=True,
)

queue_records = Table(
    "queue_records",
    metadata,
    Column("queue", Whole, ForeignKey("queues.id"), primary_key=True, autoincrement=False),
    Column("id", String, primary_key=True),
    Column("form", one_of(RecordForm), nullable=False),
    Column("media", String, nullable=False),  # Content-Type, as it was sent
    Column("body", LargeBinary, nullable=False),
    Column("size_bytes", Whole, nullable=False),  # what it counts for
    Column("received_at", Time, nullable=False),  # they are taken in this order
    Column("holder", String),  # the job that has taken it, under `lease`; NULL: nobody has
    Column("lease", Whole, nullable=False, server_default="0"),
    Column("turn", String, nullable=False, server_default=""),  # the request that took it
)
Index(
    "queue_records_free",
    queue_records.c.queue,
    queue_records.c.received_at,
    sqlite_where=queue_records.c.holder.is_(None),
    postgresql_where=queue_records.c.holder.is_(None),
)
Index(
    "queue_records_taken",
    queue_records.c.queue,
    queue_records.c.holder,
    sqlite_where=queue_records.c.holder.is_not(None),
    postgresql_where=queue_records.c.holder.is_not(None),
)

stage_figures = Table(
    "stage_figures",
    metadata,
    Column("job", String, ForeignKey("jobs.id"), primary_key=True),
    Column("lease", Whole, nullable=False),
    Column("stages", Text, nullable=False),  # JSON: since the job began
    Column("at", Time, nullable=False),
)

stage_totals = Table(
    "stage_totals",
    metadata,
    Column("project", Whole, ForeignKey("projects.id"), primary_key=True, autoincrement=False),
    Column("flow", String, primary_key=True),
    Column("stage", String, primary_key=True),
    Column("figures", Text, nullable=False),  # JSON: of all jobs that there were
    Column("used_at", Time, nullable=False),
)

record_segments = Table(
    "record_segments",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("project", Whole, ForeignKey("projects.id"), nullable=False),
    Column("flow", String, nullable=False),
    Column("run", Whole, ForeignKey("runs.id"), nullable=False),
    Column("job", String, ForeignKey("jobs.id"), nullable=False),
    Column("kind", one_of(SegmentKind), nullable=False),
    Column("blob", String, nullable=False),
    Column("size_bytes", Whole, nullable=False),
    Column("records", Whole, nullable=False),
    Column("first_at", Time, nullable=False),  # of its records, when they came in
    Column("last_at", Time, nullable=False),
    Column("kept_at", Time, nullable=False),
    sqlite_autoincrement=True,
)
Index("record_segments_flow", record_segments.c.project, record_segments.c.flow, record_segments.c.id)
Index("record_segments_run", record_segments.c.run, record_segments.c.id)

deployments = Table(
    "deployments",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("project", Whole, ForeignKey("projects.id"), nullable=False),
    Column("name", String, nullable=False),
    Column("flow", String, nullable=False),  # the flow's name: whose bookmarks and queues these are
    Column("file", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("dialect", String),
    Column("called", Text, nullable=False, server_default="{}"),  # JSON: reference -> text of a called flow
    Column(
        "source", Text, nullable=False, server_default="{}"
    ),  # agent.spec.job.Source: the code that goes along
    Column("lock", Text),  # the text of its flow.lock; NULL: there is none
    Column("labels", Text, nullable=False, server_default="[]"),  # JSON: of agents that it is kept alive on
    Column("replicas", Whole, nullable=False),  # that are wanted; 0: it was undeployed, and ends
    Column("generation", Whole, nullable=False),  # grows with each deployment
    Column("is_alone", Whole, nullable=False),  # 1: no two jobs of it may be at work at the same time
    Column("actor", String, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("changed_at", Time, nullable=False),
    Column("due_at", Time),  # when somebody has to look at it, whatever happens; NULL: never
    UniqueConstraint("project", "name"),
    UniqueConstraint("project", "flow"),
    sqlite_autoincrement=True,
)
Index("deployments_due", deployments.c.due_at)

deployment_paths = Table(
    "deployment_paths",
    metadata,
    Column("project", Whole, ForeignKey("projects.id"), primary_key=True, autoincrement=False),
    Column("path", String, primary_key=True),
    Column("deployment", Whole, ForeignKey("deployments.id"), nullable=False),
    Column("flow", String, nullable=False),
    Column("methods", Text, nullable=False),  # JSON
    Column("secret", Text, nullable=False),  # with the names of secrets in it; empty: nothing is signed
    Column("token", Text, nullable=False),
)

replicas = Table(
    "replicas",
    metadata,
    Column("deployment", Whole, ForeignKey("deployments.id"), primary_key=True, autoincrement=False),
    Column("number", Whole, primary_key=True, autoincrement=False),
    Column("failures", Whole, nullable=False, server_default="0"),  # in a row
    Column("due_at", Time),  # it is not started before
    Column("message", Text, nullable=False, server_default=""),  # why it waits
)

deployment_runs = Table(
    "deployment_runs",
    metadata,
    Column("run", Whole, ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    Column("deployment", Whole, nullable=False),  # it may be gone, and its runs are still known
    Column("name", String, nullable=False),
    Column("replica", Whole, nullable=False),
    Column("generation", Whole, nullable=False),
    Column("started_at", Time, nullable=False),
    Column("ended_at", Time),  # somebody has seen that it ended, and drawn the conclusion
)
Index("deployment_runs_deployment", deployment_runs.c.deployment, deployment_runs.c.ended_at)
