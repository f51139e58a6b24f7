"""Signs of life: what the machine is, said once a connection, and how it does, said at the server's pace."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent.clock import SystemClock
from agent.daemon.connection import Connection
from agent.daemon.drain import Draining
from agent.daemon.jobs import JobTable
from agent.daemon.machine import Machine
from agent.daemon.state import Registration
from agent.spec.resources import derive_labels
from agent.wire import messages as m

if TYPE_CHECKING:
    from agent.machine.sampling import Sampler


class Health:
    """What is told of this machine."""

    def __init__(
        self, registration: Registration, jobs: JobTable, drain: Draining, machine: Machine, boot: str = ""
    ) -> None:
        self._registration = registration
        self._jobs = jobs
        self._drain = drain
        self._machine = machine
        self._boot = boot
        self._sampler: Sampler | None = None
        self._sampling: asyncio.Task[None] | None = None
        self._figures: Mapping[str, object] = {}

    async def make_ready(self) -> m.Ready:
        """The message that opens the work: inventory, labels, held jobs."""
        inventory = await self._machine.take_inventory()
        return m.Ready(
            inventory=inventory,
            labels=tuple(dict.fromkeys((*derive_labels(inventory), *self._registration.labels))),
            max_jobs=self._registration.max_jobs,
            held=self._jobs.describe_held(),
            is_draining=self._drain.is_draining,
            boot=self._boot,
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
            self._sampler = Sampler(SystemClock(), self._machine.work_folder)
        self._figures = sample_to_json(await asyncio.to_thread(self._sampler.take))
