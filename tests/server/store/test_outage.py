"""A loop bears that the database is away, and says so twice: when it begins to wait, and when it goes on."""

import asyncio
import logging

import pytest
from sqlalchemy import text
from support.postgres import Cluster

from agent.server.store.database import open_database
from agent.server.store.failures import UnavailableError
from agent.server.store.outage import Outage, outlast

LOG = logging.getLogger("test.outage")


def fail(outage: Outage, error: Exception) -> float:
    with outage:
        raise error
    return outage.seconds


def test_an_outage_is_two_lines_without_traceback_and_the_pauses_grow(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outage = Outage(LOG, "the timers")
    pauses = [fail(outage, UnavailableError("it is away")) for _ in range(9)]
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[1] < pauses[-1] == pauses[-2]
    with outage:
        outage.seconds = 30.0
    assert outage.seconds == 30.0
    assert [record.getMessage() for record in caplog.records] == [
        "the timers wait: it is away",
        "the timers go on: the database is back",
    ]
    assert not any(record.exc_info for record in caplog.records)
    assert fail(outage, UnavailableError("again")) == pauses[0], "the next one begins anew"


def test_a_bug_is_told_with_its_traceback_and_ends_no_loop(caplog: pytest.LogCaptureFixture) -> None:
    assert fail(Outage(LOG, "the timers"), ValueError("a bug")) > 0
    (record,) = caplog.records
    assert (record.getMessage(), record.levelno) == ("the timers stumbled", logging.ERROR)
    assert record.exc_info is not None


def test_a_loop_that_is_cancelled_ends() -> None:
    with pytest.raises(asyncio.CancelledError), Outage(LOG, "the timers"):
        raise asyncio.CancelledError


async def test_what_somebody_waits_for_is_repeated_until_it_is_done(caplog: pytest.LogCaptureFixture) -> None:
    left = [UnavailableError("it is away"), UnavailableError("still")]

    async def work() -> str:
        if left:
            raise left.pop()
        return "done"

    assert await outlast(work, "the journals of an agent") == "done"
    assert [record.getMessage() for record in caplog.records] == [
        "the journals of an agent wait: still",
        "the journals of an agent go on: the database is back",
    ]


async def test_a_connection_that_is_lost_while_it_is_given_back_is_an_outage_and_no_loss_to_the_pool(
    postgres: Cluster,
) -> None:
    url = postgres.make_database()
    name = url.partition("@/")[2].partition("?")[0]
    end_all = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    database = await open_database(url, pool_size=1)

    async def read_and_lose() -> None:
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))
            postgres.execute(end_all)

    for _ in range(3):
        with pytest.raises(UnavailableError, match="the database can't be used right now"):
            await read_and_lose()
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
    await database.close()
