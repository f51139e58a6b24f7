"""What this machine is: asked of the hardware now and then, remembered in between."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from agent.spec.resources import Inventory

_INVENTORY_SECONDS = 600.0  # a GPU that was added or fell off is seen at the next connection after this


class Machine:
    """This machine's inventory."""

    def __init__(self, work_folder: Path) -> None:
        self.work_folder = work_folder
        self._inventory: Inventory | None = None
        self._taken_at = 0.0

    async def take_inventory(self) -> Inventory:
        """What there is; at most ten minutes old."""
        if self._inventory is None or time.monotonic() - self._taken_at > _INVENTORY_SECONDS:
            self._inventory = await asyncio.to_thread(_take_inventory, self.work_folder)
            self._taken_at = time.monotonic()
        return self._inventory

    def make_stamp(self) -> Mapping[str, object]:
        """What a job's result was made on, as far as the daemon knows: its journal opens with this."""
        if self._inventory is None:
            return {}
        gpus = [
            {"uuid": gpu.uuid, "name": gpu.name, "driver": gpu.driver, "cuda": gpu.cuda}
            for gpu in self._inventory.gpus
        ]
        return {"cpu": self._inventory.cpu_model, "gpus": gpus}


def _take_inventory(work_folder: Path) -> Inventory:
    from agent.machine.inventory import take_inventory

    return take_inventory(work_folder)
