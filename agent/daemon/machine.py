"""What this machine is: asked of the hardware now and then, remembered in between."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from agent.job.launch import JobSettings
from agent.spec.job import Node
from agent.spec.resources import Inventory
from agent.spec.room import gpu_variables
from agent.wire import messages as m

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

    def equip(self, settings: JobSettings, assign: m.Assign) -> JobSettings:
        """`settings` with what this machine is, and what of it is the job's.

        The head of the job's journal says what its result was made on. Where the server has not said which GPUs are the
        job's, those of a machine that runs one job at a time are, and its containers have them as its processes do.
        """
        given = {} if assign.node is None else describe_node(assign.node)
        if self._inventory is None:
            return replace(settings, given=given)
        gpus = self._inventory.gpus
        if assign.gpus is not None:
            gpus = tuple(gpu for gpu in gpus if gpu.uuid in assign.gpus)
            given |= gpu_variables(assign.gpus, self._inventory.gpus)
        shown = [{"uuid": gpu.uuid, "name": gpu.name, "driver": gpu.driver, "cuda": gpu.cuda} for gpu in gpus]
        has_gpus = self._runs_one_job or assign.gpus is not None
        return replace(
            settings,
            machine={"cpu": self._inventory.cpu_model, "gpus": shown},
            gpus=tuple(gpu.uuid for gpu in gpus) if has_gpus else (),
            given=given,
        )


def describe_node(node: Node) -> dict[str, str]:
    """The variables that tell a job its place among the machines that run it together."""
    return {
        "AGENT_NODE_RANK": str(node.rank),
        "AGENT_NODES": str(node.count),
        "MASTER_ADDR": node.master_address,
        "MASTER_PORT": str(node.master_port),
    }


def _take_inventory(work_folder: Path) -> Inventory:
    from agent.machine.inventory import take_inventory

    return take_inventory(work_folder)
