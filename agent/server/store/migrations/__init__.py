"""Migrations from any released schema to today's, step by step: alembic's chain of `versions/`, run without its command or files.

Alembic is imported for an upgrade only: a server that starts on a database of its own schema does not wait for it.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, String, Table, insert, inspect, select, text
from sqlalchemy.engine import Connection

from agent.server.store.schema import metadata, projects, users

FIRST = "0001"
_VERSIONS = Path(__file__).parent / "versions"
_stamps = Table(  # alembic's own, as alembic makes it
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def create(connection: Connection, now: float) -> None:
    """Make the tables in an empty database, as the newest migration would leave them."""
    metadata.create_all(connection)
    connection.execute(insert(projects).values(name="default", created_at=now))
    connection.execute(insert(users).values(name="admin", kind="person", is_admin=True, created_at=now))
    _stamps.create(connection)
    connection.execute(insert(_stamps).values(version_num=newest()))


@cache
def revisions() -> tuple[str, ...]:
    """All revisions, oldest first: the numbers in the names of the files in `versions/`."""
    names = (re.fullmatch(r"v(\d{4})_\w+\.py", file.name) for file in _VERSIONS.iterdir())
    return tuple(sorted(match[1] for match in names if match))


def newest() -> str:
    """The revision that this version reads and writes."""
    return revisions()[-1]


def current(connection: Connection) -> str | None:
    """The revision of the database; None: it has no tables. Databases from before alembic are at the first one."""
    tables = inspect(connection)
    if tables.has_table(_stamps.name):
        return connection.execute(select(_stamps.c.version_num)).scalar_one_or_none()
    return FIRST if tables.has_table("runs") else None


def upgrade(connection: Connection, target: str = "head") -> None:
    """Bring the database up to `target`, in the transaction that is open. SQLite's foreign keys must be unchecked."""
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(_VERSIONS.parent))
    if current(connection) == FIRST and not inspect(connection).has_table(_stamps.name):
        MigrationContext.configure(connection).stamp(scripts, FIRST)

    def steps(revision: Any, _context: object) -> Any:
        return scripts._upgrade_revs(target, revision)  # noqa: SLF001  # what alembic's own command calls

    options = {"fn": steps, "transactional_ddl": True, "target_metadata": metadata}
    context = MigrationContext.configure(connection, opts=options)
    with Operations.context(context):
        context.run_migrations()
    if connection.dialect.name == "sqlite":
        _check_references(connection)


def _check_references(connection: Connection) -> None:
    broken = connection.execute(text("PRAGMA foreign_key_check")).all()
    assert not broken, f"the migration left rows that point nowhere: {broken[:3]}"
