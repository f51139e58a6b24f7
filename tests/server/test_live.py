"""Wake-ups: none is lost, and who has gone is not kept."""

import asyncio
from contextlib import suppress

import pytest
from support.lab import PATIENCE_SECONDS
from support.postgres import Cluster

from agent.server.events.live import Bus, SharedBus
from agent.server.store.database import open_database

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_wake_up_between_reading_and_waiting_is_not_lost() -> None:
    bus = Bus()
    with bus.listen("topic") as listener:
        bus.wake("topic")
        bus.wake("topic")
        assert await listener.wait(PATIENCE_SECONDS)
        assert not await listener.wait(0)


async def test_only_the_topic_that_is_listened_on_wakes() -> None:
    bus = Bus()
    with bus.listen("run:1") as one, bus.listen("run:10") as ten:
        bus.wake("run:10")
        assert await ten.wait(PATIENCE_SECONDS)
        assert not await one.wait(0)


async def test_closing_wakes_everybody() -> None:
    bus = Bus()
    with bus.listen("a") as one, bus.listen("b") as two:
        bus.close()
        assert await asyncio.gather(one.wait(PATIENCE_SECONDS), two.wait(PATIENCE_SECONDS)) == [True, True]
    assert bus.is_closing


async def test_what_one_process_commits_wakes_the_others_and_what_it_undoes_does_not(
    postgres: Cluster,
) -> None:
    database = await open_database(postgres.make_database())
    here, there = SharedBus("here"), SharedBus("there")
    hearing = asyncio.create_task(there.run(database.where))
    with there.listen("run:1") as told, there.listen("run:2") as untold, here.listen("run:1") as own:
        assert await told.wait(PATIENCE_SECONDS), "the first connection wakes everybody"
        await untold.wait(PATIENCE_SECONDS)
        with suppress(LookupError):
            async with database.write() as connection:
                await here.announce(connection, {"run:2"})
                raise LookupError
        async with database.write() as connection:
            await here.announce(connection, {"run:1", *(f"job:{number}" * 100 for number in range(200))})
        assert await told.wait(PATIENCE_SECONDS)
        assert not await untold.wait(0)
        assert not await own.wait(0), "its own listeners it wakes without PostgreSQL"
    hearing.cancel()
    await database.close()


async def test_a_listener_hears_again_after_a_crash_and_looks_for_what_it_missed(postgres: Cluster) -> None:
    database = await open_database(postgres.make_database())
    here, there = SharedBus("here"), SharedBus("there")
    hearing = asyncio.create_task(there.run(database.where))
    with there.listen("run:1") as told:
        assert await told.wait(PATIENCE_SECONDS)
        await asyncio.to_thread(postgres.restart)
        assert await told.wait(PATIENCE_SECONDS), "it looks once when it is back"
        async with database.write() as connection:
            await here.announce(connection, {"run:1"})
        assert await told.wait(PATIENCE_SECONDS)
    hearing.cancel()
    await database.close()


async def test_nobody_is_kept_who_has_gone() -> None:
    bus = Bus()
    with bus.listen("topic"):
        pass
    bus.wake("topic")
    assert bus._listeners == {}
