"""Batches of what one connection has shipped, made durable: sync, acknowledge, bring into rows, release.

While one batch is worked off, and for as long again, the next one gathers: what a sync, a commit and a look at the rows
cost is shared by all that came meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from agent.server.agents.job_records import JobRecords, Outcome
from agent.server.data.journals import Journals, Key
from agent.server.store.outage import outlast
from agent.wire.server_side import ServerProtocol

_LONGEST_PAUSE_SECONDS = 0.1
_WHO = "the journals of an agent"


class JournalBatches:
    """Works as long as `run` runs; `finish` lets it end when nothing is left."""

    def __init__(
        self, protocol: ServerProtocol, journals: Journals, job_records: JobRecords, flush: Callable[[], None]
    ) -> None:
        self._protocol = protocol
        self._journals = journals
        self._job_records = job_records
        self._flush = flush
        self._unsettled: set[Key] = set()
        self._news = asyncio.Event()
        self._is_finishing = False

    def mark(self, job: str, lease: int) -> None:
        """The journal of (job, lease) may have grown, or may hold what is not in rows yet."""
        self._unsettled.add((job, lease))
        self._news.set()

    def finish(self) -> None:
        """Nothing more will be marked."""
        self._is_finishing = True
        self._news.set()

    async def run(self) -> None:
        """Settle what is marked until `finish` was called and all is done."""
        loop = asyncio.get_running_loop()
        while not self._is_finishing or self._unsettled:
            await self._news.wait()
            self._news.clear()
            batch, self._unsettled = sorted(self._unsettled), set()
            began = loop.time()
            await self._settle(batch)
            if not self._is_finishing:
                await asyncio.sleep(min(loop.time() - began, _LONGEST_PAUSE_SECONDS))

    async def _settle(self, batch: Sequence[Key]) -> None:
        sizes = await outlast(partial(self._journals.sync, batch), _WHO)
        for (job, lease), size in zip(batch, sizes, strict=True):
            self._protocol.acknowledge(job, lease, size)
        self._flush()
        async with asyncio.TaskGroup() as tasks:  # side by side, so that they share a commit
            for (job, lease), size in zip(batch, sizes, strict=True):
                tasks.create_task(self._apply(job, lease, size))

    async def _apply(self, job: str, lease: int, size: int) -> None:
        match await outlast(partial(self._job_records.apply, job, lease, size), _WHO):
            case Outcome.CLOSED:
                self._protocol.release(job, lease)
            case Outcome.DAMAGED:
                self._protocol.revoke(job, lease, "its journal arrived damaged")
            case Outcome.OPEN:
                return
        self._flush()
