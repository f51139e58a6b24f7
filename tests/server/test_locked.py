"""A database that somebody else has locked: who wants to change something is told so in a bounded time, and how long to wait."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import asyncpg  # type: ignore[import-untyped]
import httpx
from server.vocabulary import PATIENCE_SECONDS, ServerProcess, wait_for

WRITERS = 12  # more than may change something at once (half of PostgreSQL's 16 connections): some stand behind others


@contextlib.contextmanager
def lock(server: ServerProcess) -> Iterator[None]:
    """Nobody can change anything, as while another process works on the database."""
    if not server.database_url:
        with contextlib.closing(sqlite3.connect(server.data / "flow.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
        return
    is_locked, is_over = threading.Event(), threading.Event()

    async def hold() -> None:
        other = await asyncpg.connect(server.database_url)
        async with other.transaction():
            await other.execute("LOCK TABLE variables IN ACCESS EXCLUSIVE MODE")
            is_locked.set()
            await asyncio.to_thread(is_over.wait)
        await other.close()

    thread = threading.Thread(target=lambda: asyncio.run(hold()))
    thread.start()
    try:
        assert is_locked.wait(PATIENCE_SECONDS)
        yield
    finally:
        is_over.set()
        thread.join()


def test_writers_are_told_of_a_locked_database_and_do_not_hang(server: ServerProcess) -> None:
    """Each answer comes before its client's patience (20 s) ends, also of those who stand behind others."""

    def put(number: int) -> httpx.Response:
        return server.api.put(f"/variables/LOCKED_{number}", json={"value": "1"})

    assert put(0).is_success
    with lock(server), ThreadPoolExecutor(WRITERS) as threads:
        answers = list(threads.map(put, range(WRITERS)))
        assert [answer.status_code for answer in answers] == [503] * WRITERS
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
        assert server.http.get("/healthz").is_success
        assert put(0).status_code == 503
    wait_for(lambda: put(0).is_success)
