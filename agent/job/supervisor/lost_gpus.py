"""GPUs that a job has lost: a failure that came of it is the machine's, also where the job's own program was the first to say so."""

import asyncio
from collections.abc import Collection

_LOOK_SECONDS = 5.0  # a driver that needs longer tells nothing: the failure stays what it was


async def find_lost_gpu(gpus: Collection[str]) -> str:
    """Which of a job's GPUs (UUIDs) is broken now, in a sentence; empty: none is, or nobody knows. Raises nothing."""
    if not gpus:
        return ""
    from agent.machine.probes.nvidia import find_broken

    broken = await asyncio.to_thread(find_broken, tuple(gpus), timeout_seconds=_LOOK_SECONDS)
    return next((f"GPU {uuid} is out of service: {words}" for uuid, words in broken.items()), "")
