"""Facts of one GPU, asked of the driver one by one: a value that can't be had is None, and costs no other.

What NVML can't tell on an old driver (numbers of NUMA nodes, cores nearby) the kernel may know: /sys/bus/pci/devices.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from agent.machine.probes.nvidia_links import count_nvlinks
from agent.machine.probes.nvidia_session import Device, as_text, ask
from agent.spec.figures import name_slowdowns
from agent.spec.resources import Gpu

PCI_DEVICES = Path("/sys/bus/pci/devices")

_SYNC_BOOST: Final = 0x10  # clocks kept together over several GPUs: meant so, and no trouble to be told of
_CPU_WORDS = 64  # of 64 cores each


def describe_gpu(nvml: Any, device: Device, uuid: str) -> Gpu:
    """All that the driver tells of a GPU or MIG instance. Raises nothing."""
    whole = device.whole
    memory = ask(nvml, "nvmlDeviceGetMemoryInfo", device.handle)
    pci = ask(nvml, "nvmlDeviceGetPciInfo", whole)
    bus_id = as_text(pci.busId) if pci else None
    name = ask(nvml, "nvmlDeviceGetName", device.handle) or "NVIDIA GPU"
    remapped = ask(nvml, "nvmlDeviceGetRemappedRows", whole)
    return Gpu(
        index=device.index,
        uuid=uuid,
        name=name,
        memory_bytes=memory.total if memory else None,
        driver=ask(nvml, "nvmlSystemGetDriverVersion"),
        cuda=_read_cuda_version(nvml),
        compute_capability=_format_version(ask(nvml, "nvmlDeviceGetCudaComputeCapability", whole)),
        mig_parent=ask(nvml, "nvmlDeviceGetUUID", device.parent) if device.parent else None,
        pci_bus_id=bus_id,
        mig_profile=_find_profile(nvml, device, name, memory.total if memory else None),
        gpu_instance=ask(nvml, "nvmlDeviceGetGpuInstanceId", device.handle) if device.parent else None,
        compute_instance=ask(nvml, "nvmlDeviceGetComputeInstanceId", device.handle)
        if device.parent
        else None,
        numa_node=_find_numa_node(nvml, whole, bus_id),
        cpus=_find_cpus(nvml, whole, bus_id),
        persistence=_as_bool(ask(nvml, "nvmlDeviceGetPersistenceMode", whole)),
        ecc=_as_bool(_first(ask(nvml, "nvmlDeviceGetEccMode", whole))),
        ecc_uncorrected=count_uncorrected(nvml, whole),
        remapped_rows=None if remapped is None else remapped[0] + remapped[1],
        remap_pending=_as_bool(remapped[2]) if remapped else None,
        retired_pages=_count_retired(nvml, whole),
        throttling=_read_throttling(nvml, whole),
        power_limit_watts=_as_watts(ask(nvml, "nvmlDeviceGetEnforcedPowerLimit", whole)),
        pcie_generation=ask(nvml, "nvmlDeviceGetMaxPcieLinkGeneration", whole),
        pcie_width=ask(nvml, "nvmlDeviceGetCurrPcieLinkWidth", whole),
        pcie_width_most=ask(nvml, "nvmlDeviceGetMaxPcieLinkWidth", whole),
        nvlinks=None if device.parent else count_nvlinks(nvml, whole),
    )


def count_uncorrected(nvml: Any, whole: Any) -> int | None:
    """Memory errors that ECC could not correct, since the driver was loaded or the GPU reset."""
    count = ask(
        nvml,
        "nvmlDeviceGetTotalEccErrors",
        whole,
        nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
        nvml.NVML_VOLATILE_ECC,
    )
    return None if count is None else int(count)


def format_cpus(numbers: Sequence[int]) -> str:
    """Numbers of cores as the kernel writes them: 0-15,32-47."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def _find_profile(nvml: Any, device: Device, name: str, memory_bytes: int | None) -> str | None:
    """`1g.10gb`: in the instance's name, and before drivers wrote it there, made of its slices as they do."""
    if device.parent is None:
        return None
    found = re.search(r" MIG (\S+)", name)
    if found:
        return found[1].lower()
    attributes = ask(nvml, "nvmlDeviceGetAttributes_v2", device.handle)
    if attributes is None or memory_bytes is None or not attributes.gpuInstanceSliceCount:
        return None
    slices, compute = attributes.gpuInstanceSliceCount, attributes.computeInstanceSliceCount
    part = f"{compute}c." if compute and compute != slices else ""
    return f"{part}{slices}g.{round(memory_bytes / 2**30)}gb"


def _find_numa_node(nvml: Any, whole: Any, bus_id: str | None) -> int | None:
    node = ask(nvml, "nvmlDeviceGetNumaNodeId", whole)
    if node is None:
        text = _read_pci(bus_id, "numa_node")
        node = int(text) if text.lstrip("-").isdigit() else None
    return None if node is None or node < 0 else int(node)  # -1: the machine has one node, or does not say


def _find_cpus(nvml: Any, whole: Any, bus_id: str | None) -> str | None:
    words = ask(nvml, "nvmlDeviceGetCpuAffinity", whole, _CPU_WORDS)
    if words is None:
        return _read_pci(bus_id, "local_cpulist") or None
    found = [64 * place + bit for place, word in enumerate(words) for bit in range(64) if word >> bit & 1]
    return format_cpus(found) or None


def _read_pci(bus_id: str | None, name: str) -> str:
    """What the kernel says of the device. NVML's domains have eight digits, the kernel's four."""
    domain, _, rest = (bus_id or "").lower().partition(":")
    try:
        return (PCI_DEVICES / f"{domain[-4:]}:{rest}" / name).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _read_throttling(nvml: Any, whole: Any) -> tuple[str, ...] | None:
    """NVML has had two names for it: since R535 they are 'event reasons'."""
    bits = ask(nvml, "nvmlDeviceGetCurrentClocksEventReasons", whole)
    if bits is None:
        bits = ask(nvml, "nvmlDeviceGetCurrentClocksThrottleReasons", whole)
    return None if bits is None else tuple(name_slowdowns(bits & ~_SYNC_BOOST))


def _count_retired(nvml: Any, whole: Any) -> int | None:
    """Of GPUs that retire pages (before A100): newer ones remap rows instead."""
    causes = (
        nvml.NVML_PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS,
        nvml.NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR,
    )
    counts = [ask(nvml, "nvmlDeviceGetRetiredPages", whole, cause) for cause in causes]
    return None if None in counts else sum(map(len, counts))


def _read_cuda_version(nvml: Any) -> str | None:
    number = ask(nvml, "nvmlSystemGetCudaDriverVersion_v2") or ask(nvml, "nvmlSystemGetCudaDriverVersion")
    return _format_version((number // 1000, number % 1000 // 10)) if number else None


def _format_version(parts: tuple[int, int] | None) -> str | None:
    return f"{parts[0]}.{parts[1]}" if parts else None


def _first(pair: Sequence[int] | None) -> int | None:
    return pair[0] if pair else None


def _as_bool(state: int | None) -> bool | None:
    return None if state is None else bool(state)


def _as_watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000
