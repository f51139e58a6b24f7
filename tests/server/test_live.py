"""Wake-ups: none is lost, and who has gone is not kept."""

import asyncio

import pytest

from agent.server.live import Bus

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_wake_up_between_reading_and_waiting_is_not_lost() -> None:
    bus = Bus()
    with bus.listen("topic") as listener:
        bus.wake("topic")
        bus.wake("topic")
        assert await listener.wait(5)
        assert not await listener.wait(0)


async def test_only_the_topic_that_is_listened_on_wakes() -> None:
    bus = Bus()
    with bus.listen("run:1") as one, bus.listen("run:10") as ten:
        bus.wake("run:10")
        assert await ten.wait(5)
        assert not await one.wait(0)


async def test_closing_wakes_everybody() -> None:
    bus = Bus()
    with bus.listen("a") as one, bus.listen("b") as two:
        bus.close()
        assert await asyncio.gather(one.wait(5), two.wait(5)) == [True, True]
    assert bus.is_closing


async def test_nobody_is_kept_who_has_gone() -> None:
    bus = Bus()
    with bus.listen("topic"):
        pass
    bus.wake("topic")
    assert bus._listeners == {}
