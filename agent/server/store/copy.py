"""An online copy of the embedded database, and which bytes outside of it its rows name."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

_PAGES_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class NamedBytes:
    """The keys of blobs, and the journals' names with the length that rows tell of."""

    blobs: frozenset[str]
    journals: Mapping[str, int]


def copy_database(file: Path, target: Path) -> None:
    """Copy the database to `target` as of one moment (SQLite's backup API); whoever works on it goes on."""
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(file, timeout=30)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy, pages=_PAGES_AT_ONCE)
        copy.execute("PRAGMA journal_mode=DELETE")
    target.chmod(0o600)


def read_named(file: Path) -> NamedBytes:
    """What the rows of a copied database name."""
    with closing(sqlite3.connect(file)) as copy:
        blobs = {
            row[0]
            for table in ("artifacts", "caches", "archives")
            for row in copy.execute(f"SELECT blob FROM {table} WHERE blob <> ''")  # noqa: S608 - our names
        }
        blobs |= {f"snapshots/{row[0][7:]}" for row in copy.execute("SELECT digest FROM snapshots")}
        journals = copy.execute(
            "SELECT id || '-' || lease, journal_applied FROM jobs WHERE journal_applied > 0 AND NOT EXISTS"
            " (SELECT 1 FROM archives WHERE job = jobs.id AND archives.lease = jobs.lease"
            " AND state IN ('stored', 'done', 'gone'))"
        )
        return NamedBytes(frozenset(blobs), dict(journals.fetchall()))
