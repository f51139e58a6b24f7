"""What this machine is: asked of the hardware now and then, remembered in between."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from agent.job.launch import JobSettings
from agent.spec.resources import Inventory

_INVENTORY_SECONDS = 600.0  # a GPU that was added or fell off is seen at the next connection after this


class Machine:
    """This machine's inventory."""

    def __init__(self, work_folder: Path, *, runs_one_job: bool) -> None:
        self.work_folder = work_folder
        self._runs_one_job = runs_one_job
        self._inventory: Inventory | None = None
        self._taken_at = 0.0

    async def take_inventory(self) -> Inventory:
        """What there is; at most ten minutes old."""
        if self._inventory is None or time.monotonic() - self._taken_at > _INVENTORY_SECONDS:
            self._inventory = await asyncio.to_thread(_take_inventory, self.work_folder)
            self._taken_at = time.monotonic()
        return self._inventory

    def equip(self, settings: JobSettings) -> JobSettings:
        """`settings` with what this machine is: the head of the job's journal says what its result was made on.

        Where one job runs at a time, its containers have the GPUs as its other processes do, each by its UUID; where
        several share the machine, nobody has decided yet whose they are, and containers get none.
        """
        if self._inventory is None:
            return settings
        gpus = self._inventory.gpus
        shown = [{"uuid": gpu.uuid, "name": gpu.name, "driver": gpu.driver, "cuda": gpu.cuda} for gpu in gpus]
        return replace(
            settings,
            machine={"cpu": self._inventory.cpu_model, "gpus": shown},
            gpus=tuple(gpu.uuid for gpu in gpus) if self._runs_one_job else (),
        )


def _take_inventory(work_folder: Path) -> Inventory:
    from agent.machine.inventory import take_inventory

    return take_inventory(work_folder)
