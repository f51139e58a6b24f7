"""An online copy of the embedded database, and which bytes outside of it its rows name."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from agent.server.store.schema import metadata
from agent.server.store.states import ArchiveState

_PAGES_AT_ONCE = 1000
_SHARED = "installation"  # what several servers share in their database; an embedded server has files for it
_ARCHIVED = (ArchiveState.STORED, ArchiveState.DONE, ArchiveState.GONE)  # the journal is not needed any more


@dataclass(frozen=True, slots=True)
class NamedBytes:
    """The keys of blobs, and the journals' names with the length that rows tell of."""

    blobs: frozenset[str]
    journals: Mapping[str, int]


def copy_database(
    file: Path, target: Path, tell: Callable[[int, int], object] = lambda _pages, _of: None
) -> None:
    """Copy the database to `target` as of one moment (SQLite's backup API); whoever works on it goes on.

    `tell` hears how many pages are copied, of how many. The moment is held by a transaction: without one the copy begins anew
    with each commit of somebody else's (sqlite.org/c3ref/backup_finish.html), and of a busy server's rows never ends.
    """
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(file, timeout=30)) as source, closing(sqlite3.connect(target)) as copy:
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchall()
        source.backup(copy, pages=_PAGES_AT_ONCE, progress=lambda _state, left, of: tell(of - left, of))
    make_plain(target)
    target.chmod(0o600)


def make_plain(file: Path) -> None:
    """Have a database that nobody uses be one file, with nothing beside it."""
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode=DELETE")


def make_embedded(file: Path) -> None:
    """Have a database that came from several servers be one's own."""
    with closing(sqlite3.connect(file)) as database, database:
        if database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_SHARED,)).fetchone():
            database.execute(f"DELETE FROM {_SHARED}")  # noqa: S608 - our name


def read_named(file: Path) -> NamedBytes:
    """What the rows of a copied database name."""
    with closing(sqlite3.connect(file)) as copy:
        blobs = {
            row[0]
            for table in metadata.sorted_tables
            if "blob" in table.columns
            for row in copy.execute(f"SELECT blob FROM {table.name} WHERE blob <> ''")  # noqa: S608 - our names
        }
        journals = copy.execute(
            "SELECT id || '-' || lease, journal_applied FROM jobs WHERE journal_applied > 0 AND NOT EXISTS"
            " (SELECT 1 FROM archives WHERE job = jobs.id AND archives.lease = jobs.lease"
            " AND state IN (?, ?, ?))",
            _ARCHIVED,
        )
        return NamedBytes(frozenset(blobs), dict(journals.fetchall()))
