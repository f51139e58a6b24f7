"""Links between the GPUs of a machine, in the words of `nvidia-smi topo -m`."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from agent.machine.probes.nvidia_session import as_text, ask
from agent.spec.resources import GpuLink

# nvmlGpuTopologyLevel_t of nvml.h.
_PCIE_WORDS = {0: "PSB", 10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS"}
_MOST_LINKS = 36  # NVML_NVLINK_MAX_LINKS
_SWITCH = "switch"


def list_links(nvml: Any, gpus: Sequence[tuple[str, Any]]) -> Iterator[GpuLink]:
    """Each pair of `gpus` (UUIDs and handles of whole ones) about whose connection the driver says something. Raises nothing."""
    if len(gpus) < 2:
        return
    ends = {uuid: _count_ends(nvml, handle) for uuid, handle in gpus}
    buses = {uuid: _find_bus(nvml, handle) for uuid, handle in gpus}
    for (first, one), (second, other) in combinations(gpus, 2):
        count = _count_nvlinks(ends[first], ends[second], buses[second])
        if count:
            yield GpuLink(first, second, f"NV{count}")
            continue
        word = _PCIE_WORDS.get(ask(nvml, "nvmlDeviceGetTopologyCommonAncestor", one, other))
        if word:
            yield GpuLink(first, second, word)


def count_nvlinks(nvml: Any, handle: Any) -> int:
    """How many NVLinks of a GPU are up; 0 also where the driver knows of none."""
    return sum(_count_ends(nvml, handle).values())


def _count_nvlinks(mine: Mapping[str, int], theirs: Mapping[str, int], their_bus: str) -> int:
    """Those that lead straight there, or, where both are plugged into switches, as many as both have."""
    direct = mine.get(their_bus, 0)
    return direct or min(mine.get(_SWITCH, 0), theirs.get(_SWITCH, 0))


def _count_ends(nvml: Any, handle: Any) -> Counter[str]:
    """What the GPU's active NVLinks lead to: another GPU's bus, or a switch."""
    ends: Counter[str] = Counter()
    for link in range(_MOST_LINKS):
        state = ask(nvml, "nvmlDeviceGetNvLinkState", handle, link)
        if state is None:
            break  # it has no more, or none
        if state:
            ends[_find_end(nvml, handle, link)] += 1
    return ends


def _find_end(nvml: Any, handle: Any, link: int) -> str:
    kind = ask(nvml, "nvmlDeviceGetNvLinkRemoteDeviceType", handle, link)
    if kind == nvml.NVML_NVLINK_DEVICE_TYPE_SWITCH:
        return _SWITCH
    info = ask(nvml, "nvmlDeviceGetNvLinkRemotePciInfo", handle, link)
    return as_text(info.busId).lower() if info else ""


def _find_bus(nvml: Any, handle: Any) -> str:
    info = ask(nvml, "nvmlDeviceGetPciInfo", handle)
    return as_text(info.busId).lower() if info else "unknown"
