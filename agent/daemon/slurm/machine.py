"""The cluster in place of the machine: what the server is told, and what of it is a job's."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from agent.daemon.machine import Machine, describe_node
from agent.daemon.slurm.cluster import choose_partitions, describe_cluster
from agent.daemon.slurm.commands import SlurmCommands
from agent.daemon.slurm.request import SlurmSettings, choose_gres, choose_partition
from agent.errors import AgentError, UnreachableError
from agent.job.launch.launcher import JobSettings, NewRoom
from agent.spec.resources import Inventory
from agent.wire import messages as m


class SlurmMachine:
    """The partitions that jobs may have. Its face is that of `agent.daemon.machine.Machine`."""

    def __init__(self, head: Machine, settings: SlurmSettings, commands: SlurmCommands) -> None:
        """`head` is the machine that the agent itself is on."""
        self.work_folder = head.work_folder
        self.changes = 0  # a cluster is looked at once a connection
        self.changed = asyncio.Event()
        self._settings = settings
        self._commands = commands
        self._head = head
        self._known: Inventory | None = None

    async def take_inventory(self) -> Inventory:
        """How big a job may be; as it was last, when the controller does not answer."""
        head = await self._head.take_inventory()
        try:
            self._known = await asyncio.to_thread(
                take_cluster_inventory, head, self._settings, self._commands
            )
        except UnreachableError as error:
            known = self._known or describe_cluster(replace(head, gpus=()), ())
            return replace(known, problems=(*known.problems, str(error)))
        return self._known

    async def equip(self, settings: JobSettings, assign: m.Assign) -> JobSettings:
        """`settings` with what is the job's: which GPUs of a kind these are, its node will say. Raises AgentError where no node has them."""
        granted = assign.gpus or ()
        if granted:
            found = await asyncio.to_thread(self._commands.list_partitions)
            partition = choose_partition(
                assign.spec.runs_on, choose_partitions(found, self._settings.partitions)
            )
            choose_gres(assign.spec, len(granted), partition)
        if assign.node is None:
            return replace(settings, gpus=granted)
        if not assign.node.gang:
            raise AgentError("the server is too old for jobs of several nodes in Slurm", hint="upgrade it")
        return replace(settings, gpus=granted, node=assign.node, given=describe_node(assign.node))

    async def find_room(self, gpus: Sequence[str]) -> NewRoom:
        """A job in an allocation has what it had. Raises AgentError: nobody can be given others."""
        raise AgentError(f"a job in Slurm keeps what it has, and gets no {len(gpus)} GPUs anew")


def take_cluster_inventory(head: Inventory, settings: SlurmSettings, commands: SlurmCommands) -> Inventory:
    """The inventory of an agent whose jobs go to Slurm. Raises UnreachableError, RefusedError, UsageError for an unknown partition."""
    return describe_cluster(head, choose_partitions(commands.list_partitions(), settings.partitions))
