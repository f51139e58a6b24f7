"""What runs share: caches, tags, datasets; and where logs lie when their jobs are over."""

from sqlalchemy import Column, ForeignKey, Index, String, Table, Text, UniqueConstraint

from agent.server.store.schema.base import Time, Whole, metadata

caches = Table(
    "caches",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("project", Whole, ForeignKey("projects.id"), nullable=False),
    Column("scope", String, nullable=False),  # the git ref whose runs wrote it
    Column("key", String, nullable=False),
    Column("version", String, nullable=False),  # the client's hash of paths and compression
    Column("status", String, nullable=False),  # uploading, uploaded, final
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
    Column("kind", String, primary_key=True),  # run, artifact
    Column("thing", Whole, primary_key=True),  # its id
    Column("tag", String, primary_key=True),
    Column("project", Whole, ForeignKey("projects.id"), nullable=False),
    Column("actor", String, nullable=False),
    Column("created_at", Time, nullable=False),
)
Index("tags_tag", tags.c.project, tags.c.tag)

datasets = Table(
    "datasets",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("project", Whole, ForeignKey("projects.id"), nullable=False),
    Column("name", String, nullable=False),
    Column("created_at", Time, nullable=False),
    UniqueConstraint("project", "name"),
    sqlite_autoincrement=True,
)

dataset_versions = Table(
    "dataset_versions",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("dataset", Whole, ForeignKey("datasets.id"), nullable=False),
    Column("version", Whole, nullable=False),  # 1, 2, ...
    Column("digest", String, nullable=False),  # of the list of files
    Column("message", Text, nullable=False),
    Column("file_count", Whole, nullable=False),
    Column("size_bytes", Whole, nullable=False),
    Column("actor", String, nullable=False),
    Column("run", Whole),  # that made it, if one did
    Column("created_at", Time, nullable=False),
    UniqueConstraint("dataset", "version"),
    sqlite_autoincrement=True,
)

dataset_files = Table(
    "dataset_files",
    metadata,
    Column("version", Whole, ForeignKey("dataset_versions.id"), primary_key=True),
    Column("path", String, primary_key=True),
    Column("digest", String, nullable=False),
    Column("size_bytes", Whole, nullable=False),
)
Index("dataset_files_digest", dataset_files.c.digest)

dataset_uses = Table(
    "dataset_uses",
    metadata,
    Column("run", Whole, ForeignKey("runs.id"), primary_key=True),
    Column("version", Whole, ForeignKey("dataset_versions.id"), primary_key=True),
    Column("used_at", Time, nullable=False),
)
Index("dataset_uses_version", dataset_uses.c.version)

contents = Table(
    "contents",
    metadata,
    Column("project", Whole, ForeignKey("projects.id"), primary_key=True),
    Column("digest", String, primary_key=True),
    Column("size_bytes", Whole, nullable=False),
    Column("created_at", Time, nullable=False),
)

archives = Table(
    "archives",
    metadata,
    Column("job", String, ForeignKey("jobs.id"), primary_key=True),
    Column("lease", Whole, primary_key=True),
    Column("state", String, nullable=False),  # waiting, stored, done (the journal is removed), gone
    Column("due_at", Time),  # when somebody has to go on; whoever moves it has taken the work
    Column("blob", String, nullable=False),
    Column("size_bytes", Whole, nullable=False),
    Column("journal_bytes", Whole, nullable=False),
)
Index("archives_due", archives.c.due_at)
