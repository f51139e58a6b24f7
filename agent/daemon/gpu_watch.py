"""The watch over GPUs: every few seconds, and before each job, who else has them: people who reserved them, processes from outside.

What it finds is said to `Machine.withhold`, which tells the server what has changed.
"""

import asyncio
import time
from collections.abc import Mapping

from agent.daemon.jobs import JobTable
from agent.daemon.machine import Machine
from agent.daemon.occupants import Findings, examine
from agent.daemon.reservations import Reservations
from agent.daemon.withheld import WithheldBy

_LOOK_SECONDS = 2.0


class GpuWatch:
    """Looks after who has the GPUs of this agent. `allows_strangers`: the owner lets jobs beside processes from outside."""

    def __init__(
        self, machine: Machine, jobs: JobTable, reservations: Reservations, *, allows_strangers: bool
    ) -> None:
        from agent.machine.probes.nvidia import GpuMeter

        self._machine = machine
        self._jobs = jobs
        self._reservations = reservations
        self._allows_strangers = allows_strangers
        self._meter = GpuMeter()
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Look again and again, as long as there are GPUs; never returns."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Whoever asks the machine next hears what is so now."""
        async with self._looking:
            gpus = {gpu.uuid for gpu in self._machine.gpus}
            self._machine.withhold(WithheldBy.RESERVATION, self._reservations.explain(time.time()))
            if gpus and not self._allows_strangers:
                found = await asyncio.to_thread(self._examine, gpus)
                self._machine.withhold(WithheldBy.OUTSIDE, found.outside)
                self._machine.withhold(WithheldBy.LEFTOVERS, found.leftovers)

    def _examine(self, gpus: set[str]) -> Findings:
        occupants: Mapping[str, tuple[int, ...]] = {
            figures.uuid: figures.process_ids
            for figures in self._meter.read()
            if figures.uuid in gpus and figures.process_ids
        }
        return examine(
            occupants, self._jobs.list_tenants(), self._machine.work_folder, self._jobs.end_leftovers
        )
