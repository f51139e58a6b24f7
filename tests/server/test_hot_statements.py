"""Hot statements: made once, straight to SQLite's driver, in the caller's transaction."""

from pathlib import Path

import pytest
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from agent.server.store.database import Database, open_database
from agent.server.store.hot import Hot
from agent.server.store.schema import projects

ADD = Hot(insert(projects))
NAMES = Hot(select(projects.c.name).order_by(projects.c.name))
RENAME = Hot(
    update(projects)
    .where(projects.c.name == bindparam("old"))
    .values(name=bindparam("new"), archived_at=None)
)


async def test_hot_and_usual_statements_share_one_transaction(tmp_path: Path) -> None:
    database = await open_database(tmp_path / "flow.db")
    async with database.write() as connection:
        assert await ADD.count(connection, name="a", created_at=1.0) == 1
        await connection.execute(insert(projects).values(name="b", created_at=1.0))
        assert await NAMES.rows(connection) == [("a",), ("b",), ("default",)]
        assert await RENAME.count(connection, old="b", new="c") == 1
    with pytest.raises(RuntimeError, match="undo"):
        await rename_and_fail(database)
    async with database.read() as connection:
        assert await NAMES.row(connection) == ("a",)
        assert sorted((await connection.execute(select(projects.c.name))).scalars()) == ["a", "c", "default"]
    await database.close()


async def rename_and_fail(database: Database) -> None:
    async with database.write() as connection:
        await RENAME.count(connection, old="c", new="d")
        raise RuntimeError("undo")


async def test_a_reader_sees_one_snapshot_also_through_hot_statements(tmp_path: Path) -> None:
    database = await open_database(tmp_path / "flow.db")
    async with database.read() as reader:
        before = await NAMES.rows(reader)
        async with database.write() as writer:
            await ADD.count(writer, name="later", created_at=1.0)
        assert await NAMES.rows(reader) == before
    async with database.read() as reader:
        assert len(await NAMES.rows(reader)) == len(before) + 1
    await database.close()


async def test_what_fails_has_the_usual_name_and_the_next_change_goes_on(tmp_path: Path) -> None:
    database = await open_database(tmp_path / "flow.db")
    with pytest.raises(IntegrityError):
        async with database.write() as connection:
            await ADD.count(connection, name="default", created_at=1.0)
    async with database.write() as connection:
        assert await ADD.count(connection, name="next", created_at=1.0) == 1
    await database.close()
