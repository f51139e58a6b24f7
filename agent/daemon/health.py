"""Signs of life: what the machine is, said once a connection and when it changes, and how it does, said at the server's pace."""

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent.clock import SystemClock
from agent.daemon.connection import Connection
from agent.daemon.drain import Draining
from agent.daemon.jobs import JobTable
from agent.daemon.machine import KnownMachine
from agent.daemon.state import Registration
from agent.spec.resources import Inventory, derive_labels
from agent.wire import messages as m

if TYPE_CHECKING:
    from agent.machine.sampling import Sampler


log = logging.getLogger("agent.daemon")


class Health:
    """What is told of this machine."""

    def __init__(
        self,
        registration: Registration,
        jobs: JobTable,
        drain: Draining,
        machine: KnownMachine,
        boot: str = "",
    ) -> None:
        self._registration = registration
        self._jobs = jobs
        self._drain = drain
        self._machine = machine
        self._boot = boot
        self._told = 0  # so many changes of the machine does the server know of
        self._sampler: Sampler | None = None
        self._sampling: asyncio.Task[None] | None = None
        self._figures: Mapping[str, object] = {}

    async def make_ready(self) -> m.Ready:
        """The message that opens the work: inventory, labels, held jobs."""
        self._told = self._machine.changes
        inventory = await self._machine.take_inventory()
        return m.Ready(
            inventory=inventory,
            labels=self._list_labels(inventory),
            max_jobs=self._registration.max_jobs,
            held=self._jobs.describe_held(),
            is_draining=self._drain.is_draining,
            boot=self._boot,
        )

    async def tell_changes(self, connection: Connection) -> None:
        """Tell the server of each change of the machine, as long as `connection` lives; an old one by a new connection."""
        machine = self._machine
        while True:
            machine.changed.clear()
            if machine.changes != self._told:
                if not connection.protocol.tells_inventory:
                    log.warning("the machine has changed; connecting anew to say so")
                    await connection.close()
                    return
                self._told = machine.changes
                inventory = await machine.take_inventory()
                connection.protocol.inventory(m.NewInventory(inventory, self._list_labels(inventory)))
                await connection.flush()
            await machine.changed.wait()

    def _list_labels(self, inventory: Inventory) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*derive_labels(inventory), *self._registration.labels)))

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
