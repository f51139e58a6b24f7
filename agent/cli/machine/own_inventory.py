"""The inventory that this machine's agent would register: of the machine, or of the cluster to which it hands its jobs."""

from agent.config import Settings
from agent.spec.resources import Inventory


def take_own_inventory(settings: Settings) -> Inventory:
    """What there is, as `executor` and `gpu_share` of the settings have it. Raises AgentError when the cluster does not say."""
    from agent.daemon.gpu_share import limit_inventory
    from agent.machine.inventory import take_inventory

    inventory = take_inventory(settings.work_folder)
    if settings["executor"] != "slurm":
        return limit_inventory(inventory, settings)
    from agent.daemon.slurm.commands import SlurmCommands
    from agent.daemon.slurm.machine import take_cluster_inventory
    from agent.daemon.slurm.request import SlurmSettings

    return take_cluster_inventory(inventory, SlurmSettings.load(settings), SlurmCommands())
