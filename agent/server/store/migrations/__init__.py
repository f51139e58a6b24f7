"""From any released schema to today's, step by step: alembic's chain of `versions/`, run without its command or files."""

from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, inspect
from sqlalchemy.engine import Connection

from agent.server.store.schema import metadata, projects, users

FIRST = "0001"


def create(connection: Connection, now: float) -> None:
    """Make the tables in an empty database, as the newest migration would leave them."""
    metadata.create_all(connection)
    connection.execute(insert(projects).values(name="default", created_at=now))
    connection.execute(insert(users).values(name="admin", kind="person", is_admin=True, created_at=now))
    _context(connection).stamp(_scripts(), newest())


def newest() -> str:
    """The revision that this version reads and writes."""
    (head,) = _scripts().get_heads()
    return head


def current(connection: Connection) -> str | None:
    """The revision of the database; None: it has no tables. Databases from before alembic are at the first one."""
    tables = inspect(connection)
    if tables.has_table("alembic_version"):
        return _context(connection).get_current_revision()
    return FIRST if tables.has_table("runs") else None


def upgrade(connection: Connection, target: str = "head") -> None:
    """Bring the database up to `target`, in the transaction that is open."""
    scripts = _scripts()
    if not inspect(connection).has_table("alembic_version"):
        _context(connection).stamp(scripts, FIRST)

    def steps(revision: Any, _context: object) -> Any:
        return scripts._upgrade_revs(target, revision)  # noqa: SLF001  # what alembic's own command calls

    context = MigrationContext.configure(connection, opts={"fn": steps, "transactional_ddl": True})
    with Operations.context(context):
        context.run_migrations()


def _context(connection: Connection) -> MigrationContext:
    return MigrationContext.configure(connection)


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(Path(__file__).parent))
