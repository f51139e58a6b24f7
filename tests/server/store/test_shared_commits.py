"""Changes on SQLite share commits, and each is on the disk, or undone, by itself."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from sqlalchemy import text

from agent.server.store.database import Database, open_database
from agent.server.store.failures import UnavailableError
from agent.server.store.sqlite_driver import QuickConnection, plain_connection


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Database]:
    database = await open_database(folder / "server.db")
    try:
        async with database.write() as connection:
            await connection.execute(text("CREATE TABLE notes (word TEXT)"))
        yield database
    finally:
        await database.close()


async def note(database: Database, word: str, error: BaseException | None = None) -> None:
    async with database.write() as connection:
        await connection.execute(text("INSERT INTO notes VALUES (:word)"), {"word": word})
        if error is not None:
            raise error


def committed(folder: Path) -> set[str]:
    """What another process would see."""
    with closing(sqlite3.connect(folder / "server.db")) as other:
        return {word for (word,) in other.execute("SELECT word FROM notes")}


def count_commits(patch: pytest.MonkeyPatch, before: Callable[[], None] = lambda: None) -> list[int]:
    """Grows with each commit that asks the disk; `before` each, something may happen."""
    commits: list[int] = []
    commit = QuickConnection.commit

    async def counted(connection: QuickConnection) -> None:
        commits.append(len(commits))
        before()
        await commit(connection)

    patch.setattr(QuickConnection, "commit", counted)
    return commits


async def test_changes_that_come_together_share_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as database:
        commits = count_commits(monkeypatch)
        await asyncio.gather(*(note(database, f"n{number}") for number in range(50)))
        assert len(commits) <= 2
        assert committed(tmp_path) == {f"n{number}" for number in range(50)}


async def test_a_change_is_on_the_disk_when_its_block_has_ended(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        for word in ("one", "two"):
            await note(database, word)
            assert word in committed(tmp_path)


async def test_a_change_that_raises_is_undone_and_those_beside_it_are_not(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        results = await asyncio.gather(
            note(database, "before"),
            note(database, "wrong", ValueError("no")),
            note(database, "after"),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [type(None), ValueError, type(None)]
        assert committed(tmp_path) == {"before", "after"}


async def test_a_commit_that_fails_fails_all_its_changes_and_the_next_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as database:

        def refuse() -> None:
            raise sqlite3.OperationalError("database or disk is full")

        with monkeypatch.context() as patch:
            count_commits(patch, refuse)
            results = await asyncio.gather(note(database, "a"), note(database, "b"), return_exceptions=True)
        assert [type(result) for result in results] == [UnavailableError, UnavailableError]
        assert committed(tmp_path) == set()
        await note(database, "c")
        assert committed(tmp_path) == {"c"}


async def test_a_transaction_that_sqlite_gives_up_fails_all_its_changes(tmp_path: Path) -> None:
    """As it may when the disk is full in the middle of a statement."""

    async def give_up(database: Database) -> None:
        async with database.write() as connection:
            plain_connection(connection).execute("ROLLBACK")
            raise sqlite3.OperationalError("database or disk is full")

    async with opened(tmp_path) as database:
        results = await asyncio.gather(
            note(database, "a"), give_up(database), note(database, "later"), return_exceptions=True
        )
        assert [type(result) for result in results] == [UnavailableError, UnavailableError, type(None)]
        assert committed(tmp_path) == {"later"}


async def test_who_gives_up_waiting_for_the_disk_has_changed_it_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as database:
        waiting = asyncio.Event()
        count_commits(monkeypatch, waiting.set)
        impatient = asyncio.create_task(note(database, "kept"))
        await waiting.wait()
        impatient.cancel()
        await asyncio.gather(impatient, return_exceptions=True)
        await note(database, "next")
        assert committed(tmp_path) == {"kept", "next"}


async def test_who_gives_up_waiting_for_its_turn_changes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        async with database.write() as connection:
            impatient = asyncio.create_task(note(database, "never"))
            await asyncio.sleep(0)
            impatient.cancel()
            await asyncio.gather(impatient, return_exceptions=True)
            await connection.execute(text("INSERT INTO notes VALUES ('mine')"))
        assert committed(tmp_path) == {"mine"}
