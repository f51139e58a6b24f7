"""The machine: asked of the hardware now and then, remembered in between.

What changes while the agent is connected is told to the server at once (`changes`, said by `agent.daemon.health`).
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agent.daemon.withheld import WithheldBy, WithheldGpus
from agent.errors import AgentError
from agent.job.launch.launcher import JobSettings, NewRoom
from agent.machine.share import Share, ShareWish, fix_share
from agent.spec.job import GangNode
from agent.spec.resources import Gpu, Inventory
from agent.spec.room import gpu_variables
from agent.wire import messages as m

if TYPE_CHECKING:
    from agent.machine.probes.nvidia import GpuListing

_EVERYTHING = ShareWish()
_LOOK_SECONDS = 5.0  # a driver that needs longer is not waited for: jobs are
_INVENTORY_SECONDS = 600.0  # disks and tools are looked at again at the next connection after this


class GpuGoneError(AgentError):
    """GPUs that the server has given to a job are not there."""

    def __init__(self, uuids: Sequence[str], problems: Sequence[str]) -> None:
        which = f" {uuids[0]} is" if len(uuids) == 1 else f"s {', '.join(uuids)} are"
        why = f" ({'; '.join(problems)})" if problems else ""
        super().__init__(f"{m.CHANGED_MACHINE}{which} gone from this machine{why}")


class GpuWithheldError(AgentError):
    """A GPU that the server has given to a job is not offered any more."""

    def __init__(self, gpu: Gpu) -> None:
        super().__init__(f"{m.CHANGED_MACHINE} {gpu.index} ({gpu.uuid}) is withheld: {gpu.withheld}")


class KnownMachine(Protocol):
    """What jobs run on, as far as the daemon has to know it: this machine, or a cluster (`agent.daemon.slurm.machine`)."""

    work_folder: Path
    changes: int  # of what the server has to be told
    changed: asyncio.Event  # set with each

    async def take_inventory(self) -> Inventory:
        """What there is."""
        ...

    async def equip(self, settings: JobSettings, assign: m.Assign) -> JobSettings:
        """`settings` with what of it is the job's. Raises AgentError when that is not there."""
        ...

    async def find_room(self, gpus: Sequence[str]) -> NewRoom:
        """What a job is told of GPUs that it is given once more. Raises AgentError when they are not there."""
        ...


class Machine:
    """This machine's inventory. `changes` counts what the server has to be told; `changed` is set with each."""

    def __init__(
        self,
        work_folder: Path,
        *,
        runs_one_job: bool,
        wish: ShareWish = _EVERYTHING,
        share: Share | None = None,
    ) -> None:
        """`share` is what `wish` comes to; None: the driver could not say yet, and its first answer settles it."""
        self.work_folder = work_folder
        self._wish = wish
        self._share = share
        self._all_gpus: tuple[Gpu, ...] = ()  # of the machine, those of others too
        self._runs_one_job = runs_one_job
        self._inventory: Inventory | None = None
        self._taken_at = 0.0
        self._withheld = WithheldGpus()
        self.changes = 0
        self.changed = asyncio.Event()

    async def take_inventory(self) -> Inventory:
        """What there is, with what is withheld of it; at most ten minutes old."""
        if self._inventory is None or time.monotonic() - self._taken_at > _INVENTORY_SECONDS:
            found = await asyncio.to_thread(_take_inventory, self.work_folder)
            if not self._withheld.has_said(WithheldBy.FAULT):  # the watch has not looked yet
                self._withheld.say(
                    WithheldBy.FAULT, {gpu.uuid: gpu.withheld for gpu in found.gpus if gpu.withheld}
                )
            self._inventory = self._mark(self._take_share(found))
            self._taken_at = time.monotonic()
        return self._inventory

    def withhold(self, by: WithheldBy, reasons: Mapping[str, str]) -> None:
        """From now on `by` keeps these GPUs from jobs, each UUID with its reason, and no others."""
        if self._withheld.say(by, reasons) and self._inventory is not None:
            self._take_up(self._mark(self._inventory))

    async def look_again(self) -> None:
        """There are other GPUs, or the same with other facts: the inventory has them from now on, and the server hears of it."""
        listing = await asyncio.to_thread(_list_gpus)
        before = self._inventory
        if before is None or listing.is_silent:
            return
        self._take_up(self._mark(self._take_share(replace(before, gpus=listing.gpus, links=listing.links))))

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """Those of this agent's share as they were seen last, what is withheld of them too."""
        return () if self._inventory is None else self._inventory.gpus

    def _take_share(self, machine: Inventory) -> Inventory:
        """What of the whole machine's inventory is this agent's."""
        self._all_gpus = machine.gpus
        if self._share is None and machine.gpus:
            self._share = fix_share(self._wish, machine.gpus, is_complete=False)
        return (self._share or Share(frozenset(), str(self._wish))).apply(machine)

    def _mark(self, inventory: Inventory) -> Inventory:
        """`inventory` with what is withheld. A GPU that a fault took away stays in it, as it was: somebody waits for it."""
        there = {gpu.uuid for gpu in inventory.gpus}
        before = () if self._inventory is None else self._inventory.gpus
        lost = [gpu for gpu in before if gpu.uuid not in there and self._withheld.is_fault(gpu)]
        gpus = sorted((*inventory.gpus, *lost), key=lambda gpu: gpu.index)
        return replace(inventory, gpus=tuple(self._withheld.mark(gpu) for gpu in gpus))

    def _take_up(self, inventory: Inventory) -> None:
        if inventory != self._inventory:
            self._inventory = inventory
            self._note_change()

    def _note_change(self) -> None:
        self.changes += 1
        self.changed.set()

    async def equip(self, settings: JobSettings, assign: m.Assign) -> JobSettings:
        """`settings` with what this machine is, and what of it is the job's.

        The head of the job's journal says what its result was made on. Where the server has not said which GPUs are the
        job's, those of a machine that runs one job at a time are, and its containers have them as its processes do.
        Raises GpuGoneError when one that the server has given the job is not there any more, GpuWithheldError when it is not offered.
        """
        given = {} if assign.node is None else describe_node(assign.node)
        if assign.gpus:
            await self._look_for(assign.gpus)
        if self._inventory is None:
            return replace(settings, given=given)
        gpus = tuple(gpu for gpu in self._inventory.gpus if not gpu.withheld)
        if assign.gpus is not None:
            gpus = tuple(gpu for gpu in gpus if gpu.uuid in assign.gpus)
            given |= gpu_variables(assign.gpus, self._all_gpus)
        shown = [{"uuid": gpu.uuid, "name": gpu.name, "driver": gpu.driver, "cuda": gpu.cuda} for gpu in gpus]
        has_gpus = self._runs_one_job or assign.gpus is not None
        if assign.gpus is None and self._share is not None and self._share.uuids is not None:
            given |= gpu_variables([gpu.uuid for gpu in gpus], self._all_gpus)
        return replace(
            settings,
            machine={"cpu": self._inventory.cpu_model, "gpus": shown},
            gpus=tuple(gpu.uuid for gpu in gpus) if has_gpus else (),
            given=given,
        )

    async def find_room(self, gpus: Sequence[str]) -> NewRoom:
        """What a job is told of these GPUs, which the server has given it once more. Raises as `equip` does."""
        if gpus:
            await self._look_for(gpus)
        await self.take_inventory()
        return NewRoom(tuple(gpus), gpu_variables(gpus, self._all_gpus))

    async def _look_for(self, uuids: Sequence[str]) -> None:
        """Raises unless these GPUs are there and offered now: a job would fail on them, or run on the CPU unseen.

        Of a driver that does not answer in time nothing is known, and what was seen last counts.
        """
        inventory = await self.take_inventory()
        listing = await asyncio.to_thread(_list_gpus)
        for gpu in (self._inventory or inventory).gpus:
            if gpu.uuid in uuids and gpu.withheld:
                raise GpuWithheldError(gpu)
        there = {gpu.uuid for gpu in (inventory.gpus if listing.is_silent else listing.gpus)}
        gone = [uuid for uuid in uuids if uuid not in there]
        if gone:
            self._taken_at = float("-inf")
            self._note_change()  # the server has to hear of it before it gives them again
            raise GpuGoneError(gone, listing.problems)


def describe_node(node: GangNode) -> dict[str, str]:
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


def _list_gpus() -> "GpuListing":
    from agent.machine.probes.nvidia import list_gpus

    return list_gpus(timeout_seconds=_LOOK_SECONDS)
