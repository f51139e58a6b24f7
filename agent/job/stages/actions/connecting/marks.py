"""A trigger's own mark: what it once made outside, such as a consumer, under a name that was drawn once."""

import re
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from agent.job.stages.actions.connecting.holding import HeldBookmark, Holder
from agent.job.stages.actions.connecting.waiting import Trouble


def draw_name(stage: str) -> str:
    """A name that no other flow has, in characters that every system takes; the stage can be told by it."""
    slug = re.sub(r"[^a-z0-9]+", "_", stage.lower()).strip("_")[:30]
    return f"jumpwire_{slug}_{secrets.token_hex(3)}"


@asynccontextmanager
async def holding_mark(holder: Holder, say: Callable[[str], None], name: str) -> AsyncIterator[HeldBookmark]:
    """The mark, for a moment: one copy at a time looks and makes."""
    trouble = Trouble(say)
    while (held := await holder.take(name, _nothing)) is None:
        await trouble.meet("another copy of this flow is about to begin")
    trouble.end()
    try:
        yield held
    finally:
        await holder.free(held)


def _nothing() -> None:
    """It is held for a moment only."""
