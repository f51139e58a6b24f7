"""Tables of what starts runs: connected repositories, known flows with their events and times, webhooks, what arrived, what is reported."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, LargeBinary, String, Table, Text, UniqueConstraint

from agent.server.store.schema.base import Time, Whole, metadata, one_of
from agent.server.store.states import DeliveryStatus

repositories = Table(
    "repositories",
    metadata,
    Column("id", String, primary_key=True),  # also the end of its webhook's URL
    Column("project", Whole, ForeignKey("projects.id"), nullable=False, server_default="1"),
    Column("name", String, nullable=False),
    Column("provider", String, nullable=False),  # github, gitea, gitlab, git (no webhooks, no statuses)
    Column("url", String, nullable=False),  # without credentials
    Column("api_url", String, nullable=False),
    Column("default_branch", String, nullable=False),
    Column("folders", Text, nullable=False),  # JSON list: where flows are looked for
    Column("forks", String, nullable=False),  # approve, run, never: requests to merge from forks
    Column("reports_status", Boolean, nullable=False),
    Column("credentials", LargeBinary),  # under the master key
    Column("secret", LargeBinary),  # of the webhook, under the master key
    Column("head", String, nullable=False),  # the default branch's commit, when it was last looked at
    Column("problem", Text, nullable=False),  # why it could not be looked at last time
    Column("synced_at", Time),
    Column("created_at", Time, nullable=False),
    UniqueConstraint("project", "name"),
)

flows = Table(
    "flows",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("project", Whole, ForeignKey("projects.id"), nullable=False, server_default="1"),
    Column("repository", String, ForeignKey("repositories.id")),  # NULL: stored on the server itself
    Column("name", String, nullable=False),  # a repository's: its path
    Column("title", String, nullable=False),
    Column("dialect", String),
    Column("text", Text, nullable=False),  # a repository's: at the head of the default branch
    Column("called", Text, nullable=False),  # JSON: the texts of the flows that it calls, by reference
    Column("problems", Text, nullable=False),  # JSON list of lines: why it can't run
    Column("is_enabled", Boolean, nullable=False),
    Column("updated_at", Time, nullable=False),
    sqlite_autoincrement=True,
)
_IS_STORED = flows.c.repository.is_(None)
Index("flows_repository", flows.c.repository, flows.c.name, unique=True)
Index(
    "flows_name",
    flows.c.project,
    flows.c.name,
    unique=True,
    sqlite_where=_IS_STORED,
    postgresql_where=_IS_STORED,
)

flow_events = Table(
    "flow_events",
    metadata,
    Column("flow", Whole, ForeignKey("flows.id"), primary_key=True),
    Column("event", String, primary_key=True),
)
Index("flow_events_event", flow_events.c.event)

schedules = Table(
    "schedules",
    metadata,
    Column("flow", Whole, ForeignKey("flows.id"), primary_key=True),
    Column("cron", String, primary_key=True),
    Column("zone", String, primary_key=True),
    Column("due_at", Time, nullable=False),
    Column("started_at", Time),
    Column("outcome", Text, nullable=False),  # of the last time, in words
)
Index("schedules_due", schedules.c.due_at)

webhooks = Table(
    "webhooks",
    metadata,
    Column("name", String, primary_key=True),  # the end of its URL, so it is one over all projects
    Column("project", Whole, ForeignKey("projects.id"), nullable=False, server_default="1"),
    Column("flow", Whole, ForeignKey("flows.id"), nullable=False),
    Column("secret", LargeBinary, nullable=False),  # under the master key
    Column("created_at", Time, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("project", Whole, ForeignKey("projects.id"), nullable=False, server_default="1"),
    Column("scope", String, nullable=False),  # a repository's id, `webhook/NAME`, or `project/N`
    Column("identifier", String, nullable=False),  # as the sender says
    Column("replay_key", String, nullable=False),  # what a replay can't change
    Column("provider", String, nullable=False),
    Column("event", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),  # the ref, or `pull/N`
    Column("payload", Text, nullable=False),
    Column("depth", Whole, nullable=False),  # how many runs lie between this and a person
    Column("status", one_of(DeliveryStatus), nullable=False),
    Column("is_approved", Boolean, nullable=False),
    Column("attempt", Whole, nullable=False),
    Column("due_at", Time),  # NULL: nothing is left to do
    Column("outcome", Text, nullable=False),  # in words
    Column("results", Text, nullable=False),  # JSON: each flow with its run, or why there is none
    Column("received_at", Time, nullable=False),
    Column("finished_at", Time),
    UniqueConstraint("scope", "identifier"),
    UniqueConstraint("scope", "replay_key"),
    sqlite_autoincrement=True,
)
Index("deliveries_due", deliveries.c.due_at)
Index("deliveries_subject", deliveries.c.scope, deliveries.c.subject)

origins = Table(
    "origins",
    metadata,
    Column("run", Whole, ForeignKey("runs.id"), primary_key=True),
    Column("start", String, nullable=False, unique=True),  # what started it: a run is started once
    Column("delivery", Whole),
    Column("repository", String),
    Column("flow", String, nullable=False),  # path or name
    Column("commit", String, nullable=False),  # that statuses are reported of
    Column("is_trusted", Boolean, nullable=False),  # False: a stranger's code; it sees no secrets
    Column("depth", Whole, nullable=False),
)
Index("origins_delivery", origins.c.delivery)

run_branches = Table(
    "run_branches",
    metadata,
    Column("run", Whole, ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    Column("repository", String, nullable=False),  # a connected one's id
    Column("ref", String, nullable=False),  # in full
    Column("commit", String, nullable=False),
    Column("base", String, nullable=False),  # of a request to merge, in full; else ""
    Column("scope", String, nullable=False),  # where the run's caches are written; "": nowhere
)

status_reports = Table(
    "status_reports",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("repository", String, ForeignKey("repositories.id"), nullable=False),
    Column("run", Whole),  # NULL: about a flow that can't run
    Column("commit", String, nullable=False),
    Column("context", String, nullable=False),
    Column("state", String, nullable=False),  # pending, success, failure, error
    Column("description", String, nullable=False),
    Column("attempt", Whole, nullable=False),
    Column("due_at", Time),  # NULL: sent, or given up
    Column("sent_at", Time),
    Column("problem", Text, nullable=False),
    sqlite_autoincrement=True,
)
Index("status_reports_due", status_reports.c.due_at)
Index("status_reports_run", status_reports.c.run, status_reports.c.id)
