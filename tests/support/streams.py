"""Triggers and stages without their shell: what they are made with, an intake that keeps what it gets, and bookmarks in a file
that several processes share.

`python -m support.streams ACTION CONFIG FOLDER` runs a trigger in a process of its own, to be killed.
"""

import asyncio
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from agent.job.stages.stage import (
    Bookmark,
    Bookmarks,
    StageContext,
    StageError,
    StreamPosition,
    TriggerStage,
    Value,
)


class FileBookmarks:
    """Bookmarks in SQLite: see `agent.job.stages.stage.Bookmarks`."""

    def __init__(self, folder: Path) -> None:
        self._db = sqlite3.connect(folder / "bookmarks.db", isolation_level=None, timeout=30)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS b (name TEXT PRIMARY KEY, value TEXT, fence INT, until REAL)"
        )

    async def take(self, name: str, seconds: float) -> Bookmark | None:
        now = time.time()
        row = self._db.execute(
            "INSERT INTO b VALUES (?, 'null', 1, ?) ON CONFLICT (name) DO UPDATE SET fence = fence + 1, until = excluded.until "
            "WHERE until < ? RETURNING value, fence",
            (name, now + seconds, now),
        ).fetchone()
        return Bookmark(name, json.loads(row[0]), row[1]) if row else None

    async def keep(self, bookmark: Bookmark, seconds: float) -> bool:
        return self._change("until = ?", time.time() + seconds, bookmark)

    async def put(self, bookmark: Bookmark, value: object) -> bool:
        return self._change("value = ?", json.dumps(value), bookmark)

    async def free(self, bookmark: Bookmark) -> None:
        self._change("until = ?", 0, bookmark)

    async def names(self, prefix: str) -> list[tuple[str, bool]]:
        rows = self._db.execute("SELECT name, until >= ? FROM b", (time.time(),)).fetchall()
        return [(name, bool(is_held)) for name, is_held in rows if name.startswith(prefix)]

    def value(self, name: str) -> Any:
        """What a bookmark says, whoever holds it."""
        row = self._db.execute("SELECT value FROM b WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def _change(self, what: str, value: object, bookmark: Bookmark) -> bool:
        where = (value, bookmark.name, bookmark.fence, time.time())
        return (
            self._db.execute(
                f"UPDATE b SET {what} WHERE name = ? AND fence = ? AND until >= ?", where
            ).rowcount
            > 0
        )


@dataclass
class Collecting:
    """An intake that keeps what it gets."""

    batches: list[tuple[list[Value], StreamPosition]] = field(default_factory=list)
    dead: list[tuple[Any, StreamPosition, StageError]] = field(default_factory=list)
    last: dict[str, StreamPosition] = field(default_factory=dict)  # of each lane
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    room: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None  # the trigger's: when it ends, nothing comes any more
    on_batch: Callable[[Sequence[Value], StreamPosition], None] = lambda _values, _position: None

    def __post_init__(self) -> None:
        self.room.set()

    async def emit(self, values: Sequence[Value], position: StreamPosition) -> None:
        await self.room.wait()
        assert 0 < len(values) <= 1000
        self.batches.append((list(values), position))
        self.last[position.lane] = position
        self.on_batch(values, position)
        self._note()

    def fail(self, raw: object, position: StreamPosition, error: StageError) -> None:
        self.dead.append((raw, position, error))
        self.last[position.lane] = position
        self._note()

    @property
    def values(self) -> list[Any]:
        return [value for values, _ in self.batches for value in values]

    async def until(self, holds: Callable[["Collecting"], bool]) -> None:
        """Wait until something holds of what came."""
        while not holds(self):
            if self.task is not None and self.task.done():
                await self.task
                raise AssertionError("the trigger ended")
            self.changed.clear()
            await self.changed.wait()

    def _note(self) -> None:
        self.changed.set()


def make_context(
    folder: Path, name: str, config: dict[str, Any], said: list[str] | None = None
) -> StageContext:
    """What a stage is made with, its bookmarks in a folder."""
    lines = said if said is not None else []
    bookmarks: Bookmarks = FileBookmarks(folder)
    return StageContext(
        name=name,
        config=config,
        uses="",
        bookmarks=bookmarks,
        server=None,
        workspace=folder,
        scratch=folder,
        say=lines.append,
        warn=lines.append,
        now=time.time,
    )


@asynccontextmanager
async def running(trigger: TriggerStage, intake: Collecting) -> AsyncIterator[asyncio.Task[None]]:
    """A trigger that runs, and is closed; its task, which fails the test when it fails."""
    task = intake.task = asyncio.create_task(trigger.run(intake))
    task.add_done_callback(lambda _: intake.changed.set())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await trigger.close()


@contextmanager
def driver(action: str, config: dict[str, Any], folder: Path, *options: str) -> Iterator["Driver"]:
    """A trigger in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "support.streams", action, json.dumps(config), str(folder), *options],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Driver(process)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


class Driver:
    """What a trigger's process says: a line for each batch (`got`) and each position that it settled (`settled`)."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.got: list[Any] = []
        self.settled: list[Any] = []

    def read_until(self, holds: Callable[["Driver"], bool]) -> None:
        """Read its lines until something holds."""
        assert self.process.stdout is not None
        while not holds(self):
            line = self.process.stdout.readline()
            if not line:
                pytest.fail(f"the trigger's process ended: {self.process.wait()}")
            what = json.loads(line)
            self.got += what.get("got", [])
            self.settled += what.get("settled", [])

    def kill(self) -> None:
        """As `kill -9`."""
        self.process.kill()
        self.process.wait()


async def _drive(action: str, config: dict[str, Any], folder: Path, most_settled: int) -> None:
    """Settle up to so many records, and hold on to the rest."""
    context = make_context(folder, "in", config)
    trigger = import_module(f"agent.job.stages.actions.{action}").make(context)
    settled = 0

    def say(**what: object) -> None:
        print(json.dumps(what), flush=True)  # noqa: T201

    arrived: asyncio.Queue[tuple[list[Any], StreamPosition]] = asyncio.Queue()
    intake = Collecting(on_batch=lambda values, position: arrived.put_nowait((list(values), position)))
    async with running(trigger, intake) as task:
        while not task.done():
            getting = asyncio.create_task(arrived.get())
            await asyncio.wait({getting, task}, return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                break
            values, position = getting.result()
            say(got=values)
            settled += len(values)
            if settled <= most_settled:
                await trigger.settle(position)
                say(settled=values)
        await task


if __name__ == "__main__":
    from agent.errors import AgentError

    try:
        asyncio.run(_drive(sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])))
    except AgentError as error:
        sys.exit(f"agent: {error}")
