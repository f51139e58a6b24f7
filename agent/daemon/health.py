"""Signs of life: what the machine is, said once a connection, and how it does, said at the server's pace."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agent.clock import SystemClock
from agent.daemon.connection import Connection
from agent.daemon.drain import Drain
from agent.daemon.jobs import JobTable
from agent.daemon.state import Registration
from agent.spec.resources import Inventory, derive_labels
from agent.wire import messages as m

if TYPE_CHECKING:
    from agent.machine.sampling import Sampler

_INVENTORY_SECONDS = 600.0  # a GPU that was added or fell off is seen at the next connection after this


class Health:
    """What is told of this machine."""

    def __init__(self, registration: Registration, jobs: JobTable, drain: Drain, work_folder: Path) -> None:
        self._registration = registration
        self._jobs = jobs
        self._drain = drain
        self._work_folder = work_folder
        self._inventory: Inventory | None = None
        self._taken_at = 0.0
        self._sampler: Sampler | None = None
        self._sampling: asyncio.Task[None] | None = None
        self._figures: Mapping[str, object] = {}

    async def make_ready(self) -> m.Ready:
        """The message that opens the work: inventory, labels, held jobs."""
        if self._inventory is None or time.monotonic() - self._taken_at > _INVENTORY_SECONDS:
            self._inventory = await asyncio.to_thread(_take_inventory, self._work_folder)
            self._taken_at = time.monotonic()
        return m.Ready(
            inventory=self._inventory,
            labels=tuple(dict.fromkeys((*derive_labels(self._inventory), *self._registration.labels))),
            max_jobs=self._registration.max_jobs,
            held=self._jobs.describe_held(),
            is_draining=self._drain.is_draining,
        )

    async def beat(self, connection: Connection) -> None:
        """Send heartbeats until cancelled."""
        while True:
            # A driver that hangs costs the figures their freshness, and the server no heartbeat.
            if self._sampling is None or self._sampling.done():
                self._sampling = asyncio.create_task(self._sample())
            await asyncio.sleep(connection.heartbeat_seconds)
            connection.protocol.heartbeat(self._jobs.describe_held(), self._figures)
            await connection.flush()

    async def _sample(self) -> None:
        from agent.machine.sampling import Sampler, sample_to_json

        if self._sampler is None:
            self._sampler = Sampler(SystemClock(), self._work_folder)
        self._figures = sample_to_json(await asyncio.to_thread(self._sampler.take))


def _take_inventory(work_folder: Path) -> Inventory:
    from agent.machine.inventory import take_inventory

    return take_inventory(work_folder)
