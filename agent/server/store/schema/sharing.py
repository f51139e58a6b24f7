"""Tables of what runs share: caches, tags; and where logs lie when their jobs are over."""

from sqlalchemy import Column, ForeignKey, Index, String, Table, Text, UniqueConstraint

from agent.server.store.schema.base import Time, Whole, metadata, one_of
from agent.server.store.states import ArchiveState, UploadStatus

step_results = Table(
    "step_results",
    metadata,
    Column("project", Whole, primary_key=True, autoincrement=False),
    Column("scope", String, primary_key=True),  # as of caches
    Column("key", String, primary_key=True),  # of the action and its inputs: agent.job.results.key
    Column("outputs", Text, nullable=False),  # JSON
    Column("run", Whole, nullable=False),  # that gave them; it may be gone
    Column("step", String, nullable=False),
    Column("used_at", Time, nullable=False),
)
Index("step_results_used", step_results.c.project, step_results.c.used_at)

caches = Table(
    "caches",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("project", Whole, ForeignKey("projects.id"), nullable=False),
    Column("scope", String, nullable=False),  # the git ref whose runs wrote it
    Column("key", String, nullable=False),
    Column("version", String, nullable=False),  # the client's hash of paths and compression
    Column("status", one_of(UploadStatus), nullable=False),
    Column("job", String, nullable=False),  # that reserved it
    Column("blob", String, nullable=False),
    Column("size_bytes", Whole, nullable=False),
    Column("digest", String, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("used_at", Time, nullable=False),
    UniqueConstraint("project", "scope", "version", "key"),
    sqlite_autoincrement=True,
)
Index("caches_used", caches.c.project, caches.c.used_at)

tags = Table(
    "tags",
    metadata,
    Column("kind", String, primary_key=True),  # run, artifact, dataset_version
    Column("thing", Whole, primary_key=True),  # its id
    Column("tag", String, primary_key=True),
    Column("project", Whole, ForeignKey("projects.id"), nullable=False),
    Column("actor", String, nullable=False),
    Column("created_at", Time, nullable=False),
)
Index("tags_tag", tags.c.project, tags.c.tag)

archives = Table(
    "archives",
    metadata,
    Column("job", String, ForeignKey("jobs.id"), primary_key=True),
    Column("lease", Whole, primary_key=True),
    Column("state", one_of(ArchiveState), nullable=False),
    Column("due_at", Time),  # when somebody has to go on; whoever moves it has taken the work
    Column("blob", String, nullable=False),
    Column("size_bytes", Whole, nullable=False),
    Column("journal_bytes", Whole, nullable=False),
)
Index("archives_due", archives.c.due_at)
