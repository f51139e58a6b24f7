"""Runs, their jobs with leases, what journals say of these, and the events that viewers follow."""

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, String, Table, Text, text

from agent.server.store.schema.base import Time, Whole, metadata, one_of
from agent.spec.status import JobStatus, RoomStatus, RunStatus
from agent.wire.lease import LeaseState

runs = Table(
    "runs",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("project", Whole, ForeignKey("projects.id"), nullable=False, server_default="1"),
    Column("number", Whole, nullable=False),  # of this flow file, from 1
    Column("file", String, nullable=False),
    Column("dialect", String),
    Column("title", String, nullable=False),
    Column("text", Text, nullable=False),  # the flow as submitted
    Column("event", String, nullable=False),
    Column("actor", String, nullable=False, server_default=""),  # `github.actor`: a user's name
    Column("source", Text, nullable=False),
    Column("state", Text, nullable=False),  # agent.plan.RunState
    Column("status", one_of(RunStatus), nullable=False),
    Column("conclusion", String),
    Column("cancel_reason", String),
    Column("created_at", Time, nullable=False),
    Column("started_at", Time),
    Column("finished_at", Time),
    Column("attempt", Whole, nullable=False, server_default="1"),  # grows with each re-run
    Column("run_name", String, nullable=False, server_default=""),  # `run-name`, evaluated
    Column("called", Text, nullable=False, server_default="{}"),  # JSON: reference -> text of a called flow
    Column("due_at", Time),  # when the passing of time alone changes something
    Column("events_after", Whole, nullable=False, server_default="0"),  # the last event of earlier attempts
    sqlite_autoincrement=True,
)
Index("runs_file", runs.c.file, runs.c.number)
Index("runs_status", runs.c.status, runs.c.id)
Index("runs_due", runs.c.due_at)

event_parts = Table(
    "event_parts",
    metadata,
    Column("run", Whole, ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    Column("place", Whole, primary_key=True, autoincrement=False),  # from 0
    Column("data", LargeBinary, nullable=False),  # zlib of 1 MiB of the document, the last part of less
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String, primary_key=True),
    Column("project", Whole, ForeignKey("projects.id"), nullable=False, server_default="1"),
    Column("run", Whole, ForeignKey("runs.id"), nullable=False),
    Column("place", Whole, nullable=False),  # among the run's jobs, in the order in which they came to be
    Column("key", String, nullable=False),
    Column("name", String, nullable=False),
    Column("status", one_of(JobStatus), nullable=False),
    Column("conclusion", String),
    Column("failure_kind", String),
    Column("message", Text, nullable=False, default=""),
    Column("outputs", Text, nullable=False, default="{}"),
    Column("spec", Text),  # agent.spec.job.JobSpec; NULL when the job ended before it could be queued
    Column("runs_on", Text, nullable=False, default="[]"),
    Column("group_name", String, nullable=False, default=""),
    Column("priority", Whole, nullable=False, server_default="0"),
    Column(
        "ranked_at", Time
    ),  # its place in the queue of its project: queued_at, earlier or later by priority
    Column("request", Text, nullable=False, server_default="{}"),  # agent.spec.request.Request
    Column("nodes", Whole, nullable=False, server_default="1"),
    Column("limit_seconds", Time),  # it is ended after so long; NULL: never
    Column(
        "gpus", Text, nullable=False, server_default="[]"
    ),  # JSON list of UUIDs that are its own on its agent
    Column("gang", String),  # the job that this is a node of, itself for the first one; NULL: it runs alone
    Column("node_rank", Whole, nullable=False, server_default="0"),  # in its gang
    Column("waiting", Text, nullable=False, default=""),  # why it is still queued, in words
    Column("lease", Whole, nullable=False, default=0),  # only grows
    Column("agent", String),
    Column("cancel_reason", String),  # set: to be cancelled, whoever holds it
    Column("machine", Text),  # JSON: what the result was made on
    Column("journal_applied", Whole, nullable=False, default=0),
    Column("queued_at", Time),
    Column("assigned_at", Time),
    Column("started_at", Time),
    Column("finished_at", Time),
    Column("attempt", Whole, nullable=False, server_default="1"),  # of the job: grows with each retry
    Column("run_attempt", Whole, nullable=False, server_default="1"),  # the attempt of the run that made it
    Column("environment", String, nullable=False, server_default=""),
    Column("environment_url", String, nullable=False, server_default=""),
    Column("apps", Text, nullable=False, server_default="[]"),  # agent.server.store.apps
    Column("interruptible", Whole, nullable=False, server_default="0"),  # 1: for a job that comes before it
    Column("interrupt_reason", String),  # set: to make place for another job, whoever holds it
    Column("checkpointed_at", Time),  # when its newest checkpoint was kept
    Column("resumed", Text, nullable=False, server_default=""),  # JSON: what it goes on from
    Column("room", one_of(RoomStatus), nullable=False, server_default=RoomStatus.HELD),  # while it runs
)
QUEUED = text(
    f"status = '{JobStatus.QUEUED}' AND node_rank = 0"
)  # word for word, else the index on it is not used
Index("jobs_run", jobs.c.run)
Index("jobs_status", jobs.c.status, jobs.c.queued_at)
Index(
    "jobs_queue",
    jobs.c.project,
    jobs.c.ranked_at,
    sqlite_where=QUEUED,
    postgresql_where=QUEUED,
)
Index(
    "jobs_gang", jobs.c.gang, sqlite_where=jobs.c.gang.is_not(None), postgresql_where=jobs.c.gang.is_not(None)
)
Index("jobs_agent", jobs.c.agent, jobs.c.status)

leases = Table(
    "leases",
    metadata,
    Column("job", String, ForeignKey("jobs.id"), primary_key=True),
    Column("number", Whole, primary_key=True),
    Column("agent", String, nullable=False),
    Column("state", one_of(LeaseState), nullable=False),
    Column("deadline", Time),
    Column("offered_at", Time, nullable=False),
    Column("ended_at", Time),
    Column("reason", Text, nullable=False, default=""),
)
Index("leases_deadline", leases.c.deadline)
Index(
    "leases_refused",
    leases.c.ended_at,
    sqlite_where=leases.c.state == LeaseState.REFUSED,
    postgresql_where=leases.c.state == LeaseState.REFUSED,
)

steps = Table(
    "steps",
    metadata,
    Column("job", String, ForeignKey("jobs.id"), primary_key=True),
    Column("lease", Whole, primary_key=True),
    Column("step", Whole, primary_key=True),
    Column("id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("parent", Whole),
    Column("state", String, nullable=False),
    Column("outcome", String),
    Column("conclusion", String),
    Column("seconds", Time),
    Column("started_at", Time),
    Column("outputs", Text, nullable=False),
    Column("used", Text),  # JSON: what it used of the machine; NULL: it was too short to say
)

forms = Table(
    "forms",
    metadata,
    Column("job", String, ForeignKey("jobs.id"), primary_key=True),
    Column("lease", Whole, primary_key=True),
    Column("step", Whole, primary_key=True),
    Column("title", String, nullable=False),
    Column("form", Text, nullable=False),  # JSON: a JSON schema
    Column("asked_at", Time, nullable=False),
    Column("values", Text),  # JSON: the answer; NULL: there is none
    Column("answered_by", String),
    Column("answered_at", Time),
    Column("ended_at", Time),  # the step has: it waits for nothing more
    Column(
        "gave_back", Whole, nullable=False, server_default="0"
    ),  # 1: its job has given its room back for it
)

annotations = Table(
    "annotations",
    metadata,
    Column("job", String, ForeignKey("jobs.id"), primary_key=True),
    Column("lease", Whole, primary_key=True),
    Column("offset", Whole, primary_key=True),  # of the record's end: applying twice changes nothing
    Column("record", Text, nullable=False),
)

summaries = Table(
    "summaries",
    metadata,
    Column("job", String, ForeignKey("jobs.id"), primary_key=True),
    Column("lease", Whole, primary_key=True),
    Column("offset", Whole, primary_key=True),
    Column("step", Whole, nullable=False),
    Column("text", Text, nullable=False),
)

charts = Table(
    "charts",
    metadata,
    Column("job", String, ForeignKey("jobs.id"), primary_key=True),
    Column("lease", Whole, nullable=False),
    Column("offset", Whole, nullable=False),  # so far its journal was read for it
    Column("data", LargeBinary, nullable=False),  # agent.server.data.charts.chart
)

events = Table(
    "events",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("run", Whole, ForeignKey("runs.id"), nullable=False),
    Column("kind", String, nullable=False),  # run, job, waiting, dataset
    Column("data", Text, nullable=False),
    Column("time", Time, nullable=False),
    sqlite_autoincrement=True,
)
Index("events_run", events.c.run, events.c.id)
