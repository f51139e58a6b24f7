"""NVIDIA GPUs, through NVML: the only place that speaks to the driver.

What can go wrong is a sentence (`driver_problems`), not a crash: no library, no driver, a driver that is too old
or half-updated, no permission, one GPU that fell off the bus while seven others are well, a driver that hangs.
A GPU in MIG mode cannot run anything itself, so its instances are listed in its place.
"""

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from agent.machine.deadline import start_call
from agent.machine.gpu_faults import FaultBook
from agent.machine.probes.driver_problems import explain_failed_start, explain_silence
from agent.machine.probes.nvidia_facts import describe_gpu
from agent.machine.probes.nvidia_health import look_at_gpus
from agent.machine.probes.nvidia_links import list_links
from agent.machine.probes.nvidia_processes import list_process_ids
from agent.machine.probes.nvidia_session import Device, ask, import_pynvml, session, walk
from agent.spec.resources import Gpu, GpuLink

# Without its persistence mode the driver wakes each GPU first: several seconds on a box with eight of them.
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class GpuListing:
    """The GPUs that can be leased, and a sentence for each that can't or for why there are none.

    `is_silent`: the driver did not answer in time, so that nothing is known.
    """

    gpus: tuple[Gpu, ...] = ()
    problems: tuple[str, ...] = ()
    is_silent: bool = False
    links: tuple[GpuLink, ...] = ()


@dataclass(frozen=True, slots=True)
class GpuFigures:
    """One GPU at one moment, `memory_used_bytes` by everybody together. None: the driver can't tell (as most figures of a MIG instance)."""

    uuid: str
    utilization_percent: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    temperature_celsius: float | None = None
    power_watts: float | None = None
    process_ids: tuple[int, ...] | None = None


def list_gpus(*, timeout_seconds: float = TIMEOUT_SECONDS) -> GpuListing:
    """Every GPU and MIG instance of this machine. Raises nothing: trouble is in `problems`."""
    call = start_call(_list_gpus, name="probe-nvidia")
    try:
        return call.result(timeout_seconds)
    except TimeoutError:
        return GpuListing(problems=(explain_silence(timeout_seconds),), is_silent=True)


def find_broken(uuids: Collection[str], *, timeout_seconds: float = TIMEOUT_SECONDS) -> Mapping[str, str]:
    """Those of these GPUs or instances on which no work can go on, with the reason. Empty also where nothing is known. Raises nothing."""
    call = start_call(lambda: _find_broken(uuids), name="probe-nvidia")
    try:
        return call.result(timeout_seconds)
    except TimeoutError:
        return {}


class GpuMeter:
    """Reads the figures of all GPUs again and again over one session with the driver.

    Opening a session can take seconds, so it is kept; it is opened by the first `read`, and anew after a fault.
    """

    def __init__(self) -> None:
        self._nvml: Any = None
        self._call: Future[tuple[GpuFigures, ...]] | None = None

    def read(self, *, timeout_seconds: float = TIMEOUT_SECONDS) -> tuple[GpuFigures, ...]:
        """The figures now; empty when there is no GPU or the driver does not answer."""
        if self._call is not None and not self._call.done():
            return ()  # still stuck in the driver: a second call would only get stuck beside it
        self._call = start_call(self._read, name="sample-nvidia")
        try:
            return self._call.result(timeout_seconds)
        except TimeoutError:
            return ()

    def close(self) -> None:
        """End the session, if there is one and it is not stuck."""
        if self._call is None or self._call.done():
            self._shut_down()

    def _read(self) -> tuple[GpuFigures, ...]:
        nvml = import_pynvml()
        try:
            if self._nvml is None:
                nvml.nvmlInit()
                self._nvml = nvml
            figures = [_read_figures(nvml, device.handle) for device in walk(nvml, [])]
            return tuple(gpu for gpu in figures if gpu.uuid)
        except nvml.NVMLError:
            self._shut_down()
            return ()

    def _shut_down(self) -> None:
        nvml, self._nvml = self._nvml, None
        if nvml is not None:
            with suppress(nvml.NVMLError):
                nvml.nvmlShutdown()


def _list_gpus() -> GpuListing:
    nvml = import_pynvml()
    problems: list[str] = []
    try:
        with session(nvml):
            devices = list(walk(nvml, problems))
            faults = _find_faults(nvml)
            gpus = tuple(_describe(nvml, device, problems, faults) for device in devices)
            links = tuple(list_links(nvml, _list_whole(nvml, devices)))
    except nvml.NVMLError as error:
        return GpuListing(problems=explain_failed_start(error.value, str(error)))
    return GpuListing(tuple(gpu for gpu in gpus if gpu is not None), tuple(problems), links=links)


def _find_broken(uuids: Collection[str]) -> Mapping[str, str]:
    nvml = import_pynvml()
    book = FaultBook()
    try:
        with session(nvml):
            look = look_at_gpus(nvml)
    except nvml.NVMLError:
        return {}
    if look.away:
        return {}
    book.look(look)
    gone = "it fell off the bus" if look.unreachable else "it is gone from this machine"
    broken = {uuid: gone for uuid in uuids if uuid not in book.units}
    faults = {unit: fault.words for fault in book.list_faults() if fault.ends_jobs for unit in fault.units}
    return broken | {uuid: faults[uuid] for uuid in uuids if uuid in faults}


def _find_faults(nvml: Any) -> Mapping[str, str]:
    """What one look shows to be out of service, by UUID of GPUs and instances. (Xids are seen by who watches.)"""
    book = FaultBook()
    book.look(look_at_gpus(nvml))
    return {unit: fault.words for fault in book.list_faults() for unit in fault.units}


def _describe(nvml: Any, device: Device, problems: list[str], faults: Mapping[str, str]) -> Gpu | None:
    try:
        uuid = nvml.nvmlDeviceGetUUID(device.handle)
    except nvml.NVMLError as error:
        problems.append(f"GPU {device.index} is not listed: {error}")
        return None
    return replace(describe_gpu(nvml, device, uuid), withheld=faults.get(uuid, ""))


def _list_whole(nvml: Any, devices: Iterable[Device]) -> list[tuple[str, Any]]:
    """The GPUs themselves, each once, those in MIG mode too."""
    found = {device.index: device.whole for device in devices}
    named = [(ask(nvml, "nvmlDeviceGetUUID", handle), handle) for handle in found.values()]
    return [(uuid, handle) for uuid, handle in named if uuid]


def _read_figures(nvml: Any, handle: Any) -> GpuFigures:
    memory = ask(nvml, "nvmlDeviceGetMemoryInfo", handle)
    rates = ask(nvml, "nvmlDeviceGetUtilizationRates", handle)
    power = ask(nvml, "nvmlDeviceGetPowerUsage", handle)
    return GpuFigures(
        uuid=ask(nvml, "nvmlDeviceGetUUID", handle) or "",
        utilization_percent=rates.gpu if rates else None,
        memory_used_bytes=memory.used if memory else None,
        memory_total_bytes=memory.total if memory else None,
        temperature_celsius=ask(nvml, "nvmlDeviceGetTemperature", handle, nvml.NVML_TEMPERATURE_GPU),
        power_watts=None if power is None else power / 1000,
        process_ids=list_process_ids(nvml, handle),
    )
