"""The share of an agent as it was told when it started, and whether processes of strangers keep GPUs from its jobs."""

import os
from collections.abc import Mapping

from agent.config import Settings
from agent.errors import UsageError
from agent.machine.share import CUDA_VARIABLE, NVIDIA_VARIABLE, Share, ShareWish, fix_share, read_wish
from agent.spec.resources import Inventory

_START_SECONDS = 10.0  # a driver that needs longer is asked again later, and nothing is offered until then


def read_share_wish(settings: Settings) -> ShareWish:
    """What the owner said of the share, or whoever started this process."""
    from agent.machine.platform import is_container

    origin = settings.origins["gpu_share"]
    names = {"flag": "--gpus"}
    return read_wish(
        settings["gpu_share"], names.get(origin, origin), os.environ, is_container=is_container()
    )


def settle_share(wish: ShareWish) -> Share | None:
    """The share by UUID; None while the driver tells of no GPU. Raises UsageError when the owner named one that is not there."""
    if wish == ShareWish():
        return Share()
    from agent.machine.probes.nvidia import list_gpus

    listing = list_gpus(timeout_seconds=_START_SECONDS)
    if not listing.gpus and listing.problems:
        return None
    return fix_share(wish, listing.gpus, is_complete=not listing.problems)


def limit_inventory(inventory: Inventory, settings: Settings) -> Inventory:
    """What of this machine's inventory an agent would offer that is started like this. Raises UsageError as `settle_share` does."""
    is_complete = not inventory.problems
    return fix_share(read_share_wish(settings), inventory.gpus, is_complete=is_complete).apply(inventory)


def allows_strangers(settings: Settings) -> bool:
    """Whether jobs are given GPUs on which somebody else computes. Raises UsageError."""
    said = settings["gpu_strangers"]
    if said not in ("withhold", "allow"):
        where = settings.origins["gpu_strangers"]
        raise UsageError(
            f"'{said}' is neither withhold nor allow", where=where, hint="withhold is the default"
        )
    return said == "allow"


def without_shares(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without what says which GPUs are ours: a job is told its own."""
    return {
        name: value for name, value in environment.items() if name not in (CUDA_VARIABLE, NVIDIA_VARIABLE)
    }
