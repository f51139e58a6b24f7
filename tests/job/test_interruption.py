"""Work that is ended while its task goes on."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agent.job.process.interruption import Interruptible


async def wait_for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def run_ended(work: Interruptible, do: Callable[[], Awaitable[None]] = wait_for_ever) -> None:
    with work:
        work.end()
        await do()


def test_the_work_ends_and_what_follows_goes_on() -> None:
    async def run() -> None:
        work = Interruptible()
        await run_ended(work)
        assert work.was_ended
        await asyncio.sleep(0)
        assert asyncio.current_task().cancelling() == 0

    asyncio.run(run())


def test_work_that_is_done_by_then_has_not_been_ended() -> None:
    async def run() -> None:
        work = Interruptible()
        with work:
            work.end()
        work.end()
        await asyncio.sleep(0)
        assert not work.was_ended

    asyncio.run(run())


def test_an_error_of_the_work_is_its_own() -> None:
    work = Interruptible()

    async def fail() -> None:
        try:
            await wait_for_ever()
        finally:
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(run_ended(work, fail))
    assert not work.was_ended


def test_a_cancellation_of_all_around_passes_through() -> None:
    async def run() -> None:
        work = Interruptible()
        task = asyncio.ensure_future(run_ended(work))
        asyncio.get_running_loop().call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not work.was_ended

    asyncio.run(run())


def test_work_that_gives_up_by_itself_was_ended() -> None:
    async def run() -> None:
        with Interruptible() as work:
            raise asyncio.CancelledError
        assert work.was_ended

    asyncio.run(run())


@pytest.mark.parametrize("ended", [("outer",), ("outer", "inner"), ("inner", "outer")])
def test_the_end_of_outer_work_is_no_end_of_the_inner_one_alone(ended: tuple[str, ...]) -> None:
    async def run() -> None:
        works = {"outer": Interruptible(), "inner": Interruptible()}
        went_on = False
        with works["outer"]:
            for name in ended:
                works[name].end()
            with works["inner"]:
                await wait_for_ever()
            went_on = True
        assert not went_on
        assert works["outer"].was_ended
        assert not works["inner"].was_ended
        assert asyncio.current_task().cancelling() == 0

    asyncio.run(run())


def test_asking_twice_ends_even_what_takes_its_time() -> None:
    async def run() -> None:
        work, begun = Interruptible(), asyncio.Event()

        async def end_slowly() -> None:
            try:
                await wait_for_ever()
            finally:
                begun.set()
                await wait_for_ever()

        task = asyncio.ensure_future(run_ended(work, end_slowly))
        await begun.wait()
        work.end()
        await task
        assert work.was_ended

    asyncio.run(run())
