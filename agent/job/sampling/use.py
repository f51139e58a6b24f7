"""The use that a step has made of the machine: its peaks, its means, its energy. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agent.spec.figures import (
    CPU,
    GPU_BUSY,
    GPU_MEMORY,
    GPU_POWER,
    GPU_THROTTLED,
    MEMORY,
    MIB,
    SLOT,
    code_of,
)

_LEAST_SECONDS = 2


@dataclass(slots=True)
class MachineUse:
    """Sums over the seconds that were sampled. `gpu_*` are by slot."""

    seconds: int = 0
    cpu_seconds: int = 0  # that had a figure of the CPU
    cpu_percent: int = 0
    memory_mib: int = 0  # at most
    gpu_seconds: dict[int, int] = field(default_factory=dict)
    gpu_percent: dict[int, int] = field(default_factory=dict)
    gpu_idle: dict[int, int] = field(default_factory=dict)  # seconds below IDLE_PERCENT
    gpu_memory_mib: dict[int, int] = field(default_factory=dict)  # at most
    gpu_slow: dict[int, int] = field(default_factory=dict)  # seconds in which something slowed it down
    idle_cpu_percent: int = 0  # while all its GPUs were idle
    idle_seconds: int = 0
    watt_seconds: int = 0
    has_power: bool = False

    def add(self, values: Mapping[int, int | None]) -> None:
        """A second."""
        self.seconds += 1
        if (cpu := values.get(code_of(CPU))) is not None:
            self.cpu_seconds += 1
            self.cpu_percent += cpu
        self.memory_mib = max(self.memory_mib, values.get(code_of(MEMORY)) or 0)
        slots = {code // SLOT - 1 for code in values if code >= SLOT}
        loads = [self._add_gpu(slot, values) for slot in slots]
        if loads and all(load is not None and load < IDLE_PERCENT for load in loads) and cpu is not None:
            self.idle_seconds += 1
            self.idle_cpu_percent += cpu

    def _add_gpu(self, slot: int, values: Mapping[int, int | None]) -> int | None:
        load = values.get(code_of(GPU_BUSY, slot))
        if load is not None:
            self.gpu_seconds[slot] = self.gpu_seconds.get(slot, 0) + 1
            self.gpu_percent[slot] = self.gpu_percent.get(slot, 0) + load
            self.gpu_idle[slot] = self.gpu_idle.get(slot, 0) + (load < IDLE_PERCENT)
        memory = values.get(code_of(GPU_MEMORY, slot))
        if memory is not None:
            self.gpu_memory_mib[slot] = max(self.gpu_memory_mib.get(slot, 0), memory)
        if values.get(code_of(GPU_THROTTLED, slot)):
            self.gpu_slow[slot] = self.gpu_slow.get(slot, 0) + 1
        power = values.get(code_of(GPU_POWER, slot))
        if power is not None:
            self.has_power = True
            self.watt_seconds += power
        return load


IDLE_PERCENT = 5


def to_json(use: MachineUse) -> dict[str, object] | None:
    """What a step's record says; None where it was too short to say anything. Keys without a figure are left out."""
    if use.seconds < _LEAST_SECONDS:
        return None
    said: dict[str, object] = {"seconds": use.seconds}
    if use.cpu_seconds:
        said["cpu_percent"] = round(use.cpu_percent / use.cpu_seconds)
    if use.memory_mib:
        said["memory_peak_bytes"] = use.memory_mib * MIB
    if use.gpu_memory_mib:
        said["gpu_memory_peak_bytes"] = max(use.gpu_memory_mib.values()) * MIB
    if (mean := mean_gpu_percent(use)) is not None:
        said["gpu_percent"] = round(mean)
    if use.has_power:
        said["watt_hours"] = round(use.watt_seconds / 3600, 3)
    return said


def mean_gpu_percent(use: MachineUse) -> float | None:
    """Over all seconds of all its GPUs; None where there is none."""
    seconds = sum(use.gpu_seconds.values())
    return sum(use.gpu_percent.values()) / seconds if seconds else None


def describe_use(said: Mapping[str, object] | None) -> str:
    """The line of a step that had a GPU: peak memory, mean use, energy; empty without a GPU."""
    if not said or ("gpu_memory_peak_bytes" not in said and "gpu_percent" not in said):
        return ""
    parts = []
    for key, form in _WORDS.items():
        value = said.get(key)
        if isinstance(value, int | float):
            parts.append(form(float(value)))
    return "Used: " + ", ".join(parts)


_WORDS: dict[str, Callable[[float], str]] = {
    "gpu_percent": lambda value: f"GPU {value:.0f} % busy on average",
    "gpu_memory_peak_bytes": lambda value: f"{_size(value)} of a GPU's memory at most",
    "watt_hours": lambda value: f"{value:.3g} Wh" if value < 1000 else f"{value:.0f} Wh",
    "cpu_percent": lambda value: f"CPU {value:.0f} % of a core",
    "memory_peak_bytes": lambda value: f"{_size(value)} of memory at most",
}


def _size(value: float) -> str:
    return f"{value / 2**30:.1f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"
