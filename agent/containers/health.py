"""Waiting until a service is ready."""

import asyncio

from agent.containers.engine import ContainerFacts, Engine

FIRST_SECONDS = 0.1
MOST_SECONDS = 32.0


async def wait_until_healthy(
    engine: Engine,
    container: str,
    *,
    first_seconds: float = FIRST_SECONDS,
    most_seconds: float = MOST_SECONDS,
) -> ContainerFacts:
    """How the container stands once its health check has an opinion; at once where it has none.

    The pause between two looks begins at `first_seconds` and doubles up to `most_seconds` (GitHub begins with 2). The check's
    own retries say when it is over.
    """
    pause = first_seconds
    while True:
        facts = await engine.inspect(container)
        if facts.health != "starting" or not facts.is_running:
            return facts
        await asyncio.sleep(pause)
        pause = min(pause * 2, most_seconds)
