"""The inventory, gathered from all probes: each may fail, and costs its own facts only.

The slow ones (the GPU driver, the tools) run beside each other while the quick ones are read.
"""

import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from agent.machine.deadline import start_call
from agent.machine.platform import find_os_version, find_platform
from agent.machine.probes.cpu import count_cpus, find_cpu_model
from agent.machine.probes.disk import list_disks
from agent.machine.probes.memory import measure_memory_bytes
from agent.machine.probes.nvidia import GpuListing, list_gpus
from agent.machine.probes.tools import probe_tools
from agent.spec.resources import Disk, Inventory

Fact = TypeVar("Fact")

_NO_DISKS: tuple[Disk, ...] = ()
_NO_TOOLS: tuple[Mapping[str, str], tuple[str, ...]] = ({}, ())


def take_inventory(work_folder: Path | None = None) -> Inventory:
    """This machine's inventory. Raises nothing: what could not be had is a sentence in `problems`.

    `work_folder` is where jobs will be kept; its disk is listed even where it would not be otherwise.
    """
    problems: list[str] = []
    here = find_platform()
    gpu_call = start_call(list_gpus, name="inventory-gpus")
    tool_call = start_call(probe_tools, name="inventory-tools")
    cpu_model = _attempt("the processor's model", find_cpu_model, "unknown", problems)
    cpu_count = _attempt("the number of cores", count_cpus, 1, problems)
    memory_bytes = _attempt("the memory's size", measure_memory_bytes, 0, problems)
    disks = _attempt("the disks", lambda: list_disks(work_folder), _NO_DISKS, problems)
    tools, tool_problems = _attempt("the tools", tool_call.result, _NO_TOOLS, problems)
    listing = _attempt("the GPUs", gpu_call.result, GpuListing(), problems)
    return Inventory(
        hostname=platform.node(),
        os=here.os,
        os_version=find_os_version(),
        arch=here.arch,
        kernel=platform.release(),
        cpu_model=cpu_model,
        cpu_count=cpu_count,
        memory_bytes=memory_bytes,
        disks=disks,
        gpus=listing.gpus,
        tools=tools,
        problems=(*problems, *listing.problems, *tool_problems),
        links=listing.links,
    )


def _attempt(what: str, probe: Callable[[], Fact], fallback: Fact, problems: list[str]) -> Fact:
    try:
        return probe()
    except Exception as error:  # noqa: BLE001 - a machine odd enough to break one probe is still a machine: told of
        why = f"{type(error).__name__}: {error}"
        if isinstance(error, OSError) and error.strerror:
            why = f"{error.strerror} ({error.filename})" if error.filename else error.strerror
        problems.append(f"{what} could not be found out: {why}")
        return fallback
