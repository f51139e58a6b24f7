"""A trigger that no two jobs may have at the same time: it works while it holds its bookmark."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from agent.errors import AgentError
from agent.job.stages.stage import Bookmark, StageContext

HOLD_SECONDS: Final = 30.0
_KEEP_SECONDS: Final = 8.0  # three times, and once more
_LOOK_SECONDS: Final = 2.0  # whether the other job has let go of it


def name_bookmark(context: StageContext) -> str:
    """The bookmark that the trigger's job has."""
    return f"alone/{context.name}"


async def run_alone(context: StageContext, work: Callable[[Bookmark], Awaitable[None]]) -> None:
    """Wait until the bookmark `alone/STAGE` is ours, then do `work` and keep it; free it at the end.

    Raises AgentError when it is lost on the way: `work` has ended then. While nobody can be asked for it, it is ours until its time
    is over, and not a moment longer.
    """
    bookmark = await _take(context)
    try:
        keeping = asyncio.ensure_future(_keep(context, bookmark))
        working = asyncio.ensure_future(work(bookmark))
        try:
            await asyncio.wait({keeping, working}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (keeping, working):
                task.cancel()
            await asyncio.wait({keeping, working})
        for task in (working, keeping):
            if not task.cancelled():
                task.result()
    finally:
        with contextlib.suppress(AgentError):  # it is free when its time is over
            await context.bookmarks.free(bookmark)


async def _take(context: StageContext) -> Bookmark:
    name, is_said = name_bookmark(context), False
    while (bookmark := await context.bookmarks.take(name, HOLD_SECONDS)) is None:
        if not is_said:
            context.say("another job of this flow has this trigger: it waits until that one has ended")
            is_said = True
        await asyncio.sleep(_LOOK_SECONDS)
    return bookmark


async def _keep(context: StageContext, bookmark: Bookmark) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + HOLD_SECONDS
    while True:
        await asyncio.sleep(min(_KEEP_SECONDS, max(0.0, end - loop.time())))
        asked = loop.time()
        error: AgentError | None = None
        try:
            async with asyncio.timeout_at(end):
                is_ours = await context.bookmarks.keep(bookmark, HOLD_SECONDS)
        except AgentError as caught:
            error = caught
        except TimeoutError:
            error = AgentError("nobody answers")
        if error is None and not is_ours:
            raise AgentError("another job of this flow has taken this trigger over", where=context.name)
        if error is None:
            end = asked + HOLD_SECONDS
        elif loop.time() >= end:
            raise AgentError(f"this trigger's bookmark can't be kept: {error}", where=context.name)
