"""Outlasting a database that is away for a while: restarted, failing over, locked."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agent.server.store.failures import UnavailableError

T = TypeVar("T")
log = logging.getLogger("agent.server")

_FIRST_SECONDS = 0.05
_LONGEST_SECONDS = 2.0


async def outlast(work: Callable[[], Awaitable[T]]) -> T:
    """What `work` gives, however often it has to be repeated: it must bear that, having been done already or in part."""
    pause = _FIRST_SECONDS
    while True:
        try:
            return await work()
        except UnavailableError as error:
            if pause == _FIRST_SECONDS:
                log.warning("what an agent has said waits: %s", error)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_SECONDS)
