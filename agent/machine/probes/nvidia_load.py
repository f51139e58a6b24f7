"""The load of each GPU, each second, at the cost of a few calls: what a job's samples are made from.

Handles are looked up once and again after a fault or a while (a GPU that came, a changed MIG). A figure that the driver, this GPU or this
user can't have is None and costs nothing else; one that a driver does not know at all is not asked for again. PCIe counters, for which the driver
measures 20 ms each, and processes are asked for every few seconds.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from agent.machine.probes.nvidia_processes import list_processes
from agent.machine.probes.nvidia_session import ask, import_pynvml, walk
from agent.spec.figures import (
    GPU_BUSY,
    GPU_CLOCK,
    GPU_MEMORY,
    GPU_MEMORY_BUSY,
    GPU_MEMORY_CLOCK,
    GPU_PCIE_RECEIVED,
    GPU_PCIE_SENT,
    GPU_POWER,
    GPU_TEMPERATURE,
    GPU_THROTTLED,
    keep_slowdowns,
)

_LOOK_READINGS = 60  # so often are the handles looked up anew
_RARE_READINGS = 5
_MIB = 1 << 20
_CLOCK_SM, _CLOCK_MEMORY, _PCIE_SENT, _PCIE_RECEIVED = 1, 2, 0, 1  # nvml.h


@dataclass(frozen=True, slots=True)
class GpuLoad:
    """One GPU or instance: `values` by the number of the GPU figure, as the journal has them; (process, bytes or None) of who computes on it."""

    uuid: str
    name: str
    values: dict[int, int | None]
    processes: tuple[tuple[int, int | None], ...] | None
    memory_total_bytes: int | None = None


class GpuLoads:
    """One session with the driver, for one thread."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._devices: list[_Watched] = []
        self._readings = 0

    def read(self) -> list[GpuLoad]:
        """All GPUs now; none when there is no driver, or it broke (it is asked anew the next time). Blocks as long as the driver does."""
        nvml = import_pynvml()
        try:
            if self._nvml is None:
                nvml.nvmlInit()
                self._nvml = nvml
                self._readings = 0
            if self._readings % _LOOK_READINGS == 0:
                self._look_up()
            self._readings += 1
            return [
                device.read(nvml, is_rare=self._readings % _RARE_READINGS == 1) for device in self._devices
            ]
        except (nvml.NVMLError, OSError):
            self.close()
            return []

    def close(self) -> None:
        """End the session."""
        nvml, self._nvml, self._devices = self._nvml, None, []
        if nvml is not None:
            with suppress(nvml.NVMLError):
                nvml.nvmlShutdown()

    def _look_up(self) -> None:
        known = {device.uuid: device for device in self._devices}
        self._devices = []
        for device in walk(self._nvml, []):
            uuid = ask(self._nvml, "nvmlDeviceGetUUID", device.handle)
            if uuid:
                name = ask(self._nvml, "nvmlDeviceGetName", device.handle)
                watched = known.get(uuid) or _Watched(uuid, name or "NVIDIA GPU")
                watched.handle = device.handle
                self._devices.append(watched)


class _Watched:
    """A GPU, and what it has answered until now."""

    def __init__(self, uuid: str, name: str) -> None:
        self.uuid = uuid
        self.name = name
        self.handle: Any = None
        self._rare: dict[int, int | None] = {}
        self._processes: tuple[tuple[int, int | None], ...] | None = None
        self._unknown: set[str] = set()

    def read(self, nvml: Any, *, is_rare: bool) -> GpuLoad:
        if is_rare:
            self._rare = self._read_pcie()
            self._processes = list_processes(nvml, self.handle)
        rates = self._ask(nvml, "nvmlDeviceGetUtilizationRates")
        memory = self._ask(nvml, "nvmlDeviceGetMemoryInfo")
        power = self._ask(nvml, "nvmlDeviceGetPowerUsage")
        reasons = self._ask(nvml, "nvmlDeviceGetCurrentClocksEventReasons")
        if reasons is None:  # its name before R535
            reasons = self._ask(nvml, "nvmlDeviceGetCurrentClocksThrottleReasons")
        values = {
            GPU_BUSY.number: rates.gpu if rates else None,
            GPU_MEMORY.number: memory.used // _MIB if memory else None,
            GPU_POWER.number: None if power is None else round(power / 1000),
            GPU_TEMPERATURE.number: self._ask(nvml, "nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
            GPU_CLOCK.number: self._ask(nvml, "nvmlDeviceGetClockInfo", _CLOCK_SM),
            GPU_MEMORY_CLOCK.number: self._ask(nvml, "nvmlDeviceGetClockInfo", _CLOCK_MEMORY),
            GPU_THROTTLED.number: None if reasons is None else keep_slowdowns(reasons),
            GPU_MEMORY_BUSY.number: rates.memory if rates else None,
            **self._rare,
        }
        total = memory.total if memory else None
        return GpuLoad(self.uuid, self.name, values, self._processes, total)

    def _read_pcie(self) -> dict[int, int | None]:
        found: dict[int, int | None] = {}
        for number, counter in ((GPU_PCIE_SENT, _PCIE_SENT), (GPU_PCIE_RECEIVED, _PCIE_RECEIVED)):
            kib = self._ask(import_pynvml(), "nvmlDeviceGetPcieThroughput", counter)
            found[number.number] = None if kib is None else round(kib / 1024)
        return found

    def _ask(self, nvml: Any, name: str, *arguments: Any) -> Any:
        if name in self._unknown:
            return None
        try:
            return getattr(nvml, name)(self.handle, *arguments)
        except nvml.NVMLError as error:
            if error.value in (nvml.NVML_ERROR_FUNCTION_NOT_FOUND, nvml.NVML_ERROR_NOT_SUPPORTED):
                self._unknown.add(name)
            return None
        except (ValueError, AttributeError):  # an answer that is no text; a pynvml from before the function
            self._unknown.add(name)
            return None
