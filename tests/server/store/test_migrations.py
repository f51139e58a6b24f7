"""Databases of every released version are upgraded, lose nothing, and are like new ones; newer ones are left alone."""

import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection as SyncConnection
from support.postgres import Cluster

from agent.errors import DamagedError
from agent.server.store import migrations
from agent.server.store.database import Database, open_database
from agent.server.store.engines import Where, make_engine, read_where
from agent.server.store.migrate import migrate, read_standing
from agent.server.store.schema import metadata

pytestmark = pytest.mark.anyio

RELEASED = sorted((Path(__file__).parent / "released").glob("schema-*.sql"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """An empty database."""
    if request.param == "sqlite":
        return tmp_path / "flow.db"
    cluster: Cluster = request.getfixturevalue("postgres")
    return cluster.make_database()


@pytest.fixture(params=RELEASED, ids=lambda dump: dump.stem)
def released(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A database as a released version has left it, with rows in it."""
    file = tmp_path / "flow.db"
    with closing(sqlite3.connect(file)) as database:
        database.executescript(request.param.read_text(encoding="utf-8"))
    return file


async def on(place: Path | str, work: Callable[[SyncConnection], Any]) -> Any:
    """The result of `work` on a connection that may do everything."""
    where = Where(place) if isinstance(place, Path) else read_where(place)
    database = Database(make_engine(where, pool_size=1, foreign_keys=False), where)
    try:
        async with database.write() as connection:
            return await connection.run_sync(work)
    finally:
        await database.close()


def differences(connection: SyncConnection) -> list[Any]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


def test_the_newest_revision_is_alembics_head() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert [migrations.newest()] == scripts.get_heads()
    assert list(migrations.revisions()) == sorted(script.revision for script in scripts.walk_revisions())


async def test_a_new_database_has_the_tables_that_the_code_names(place: Path | str) -> None:
    await (await open_database(place)).close()
    assert await on(place, differences) == []


async def test_the_chain_of_migrations_leads_to_the_same_tables(place: Path | str) -> None:
    await on(place, migrations.upgrade)
    assert await on(place, differences) == []
    assert (await read_standing(place)).is_current


async def test_a_released_database_is_upgraded_and_loses_nothing(released: Path) -> None:
    before = dict(read_rows(released))
    assert before["runs"][1], "the fixture has rows"
    old = await migrate(released)
    assert old.found in migrations.revisions()
    assert not old.is_current
    assert await on(released, differences) == []
    after = dict(read_rows(released))
    for table, (columns, rows) in before.items():
        if table in after:
            kept = [tuple(row[name] for name in columns) for row in as_dicts(*after[table])]
            assert set(kept) >= set(rows), table
        else:
            assert table == "meta", "the home-made schema number is alembic's now"
    await (await open_database(released)).close()


async def test_an_upgraded_file_never_uses_a_number_twice(released: Path, tmp_path: Path) -> None:
    await migrate(released)
    new = tmp_path / "new.db"
    await migrate(new)
    assert counted_tables(released) == counted_tables(new)


async def test_the_file_is_copied_aside_before_it_is_upgraded(released: Path) -> None:
    before = dict(read_rows(released))
    old = await migrate(released)
    copy = released.with_name(f"flow.db.schema-{old.found}")
    assert dict(read_rows(copy)) == before
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert (await migrate(released)).is_current, "once is enough"


async def test_an_older_schema_is_not_served(place: Path | str) -> None:
    await on(place, lambda connection: migrations.upgrade(connection, migrations.FIRST))
    with pytest.raises(DamagedError, match="agent server migrate"):
        await open_database(place)
    await migrate(place)
    await (await open_database(place)).close()


async def test_a_newer_schema_is_refused_and_left_alone(place: Path | str) -> None:
    await (await open_database(place)).close()
    await on(
        place,
        lambda connection: connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'"),
    )
    for work in (open_database, migrate):
        with pytest.raises(DamagedError, match="the database has schema 9999"):
            await work(place)
    assert (await read_standing(place)).found == "9999"


async def test_a_look_changes_nothing(place: Path | str) -> None:
    standing = await read_standing(place)
    assert (standing.found, standing.is_current) == (None, False)
    assert (await read_standing(place)).found is None


def read_rows(file: Path) -> Iterator[tuple[str, tuple[tuple[str, ...], list[tuple[Any, ...]]]]]:
    """Each table with its columns and rows."""
    with closing(sqlite3.connect(file)) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            if not name.startswith("sqlite_"):
                cursor = database.execute(f'SELECT * FROM "{name}"')
                yield name, (tuple(column[0] for column in cursor.description), cursor.fetchall())


def counted_tables(file: Path) -> set[str]:
    """The tables whose numbers only grow, also over removed rows."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'"
    with closing(sqlite3.connect(file)) as database:
        return {name for (name,) in database.execute(query)}


def as_dicts(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in rows]
