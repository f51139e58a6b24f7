"""NVIDIA GPUs, through NVML: the only place that speaks to the driver.

What can go wrong is a sentence (`driver_problems`), not a crash: no library, no driver, a driver that is too old
or half-updated, no permission, one GPU that fell off the bus while seven others are well, a driver that hangs.
A GPU in MIG mode cannot run anything itself, so its instances are listed in its place.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from agent.machine.deadline import start_call
from agent.machine.probes.driver_problems import explain_failed_start, explain_silence
from agent.machine.probes.nvidia_processes import list_process_ids
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
        nvml = _import_pynvml()
        try:
            if self._nvml is None:
                nvml.nvmlInit()
                self._nvml = nvml
            figures = [_read_figures(nvml, device.handle) for device in _walk(nvml, [])]
            return tuple(gpu for gpu in figures if gpu.uuid)
        except nvml.NVMLError:
            self._shut_down()
            return ()

    def _shut_down(self) -> None:
        nvml, self._nvml = self._nvml, None
        if nvml is not None:
            with suppress(nvml.NVMLError):
                nvml.nvmlShutdown()


@dataclass(frozen=True, slots=True)
class _Device:
    index: int
    handle: Any
    parent: Any = None


def _list_gpus() -> GpuListing:
    nvml = _import_pynvml()
    problems: list[str] = []
    try:
        with _session(nvml):
            gpus = tuple(_describe(nvml, device, problems) for device in _walk(nvml, problems))
    except nvml.NVMLError as error:
        return GpuListing(problems=explain_failed_start(error.value, str(error)))
    return GpuListing(tuple(gpu for gpu in gpus if gpu is not None), tuple(problems))


def _import_pynvml() -> Any:
    """The library, untyped as it is; imported at the first use, as most commands have none for it."""
    import pynvml

    return pynvml


@contextmanager
def _session(nvml: Any) -> Iterator[None]:
    nvml.nvmlInit()
    try:
        yield
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _walk(nvml: Any, problems: list[str]) -> Iterator[_Device]:
    """Each thing that a job could be given; a GPU that does not answer is told of in `problems` and passed over."""
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
        except nvml.NVMLError as error:
            problems.append(f"GPU {index} is not listed: {error}")
            continue
        if (_ask(nvml, "nvmlDeviceGetMigMode", handle) or [0])[0] != 1:
            yield _Device(index, handle)
            continue
        instances = list(_walk_instances(nvml, index, handle))
        if not instances:
            problems.append(f"GPU {index} is not listed: it is in MIG mode and has no instances")
        yield from instances


def _walk_instances(nvml: Any, index: int, parent: Any) -> Iterator[_Device]:
    for place in range(_ask(nvml, "nvmlDeviceGetMaxMigDeviceCount", parent) or 0):
        handle = _ask(nvml, "nvmlDeviceGetMigDeviceHandleByIndex", parent, place)
        if handle is not None:  # places are numbered up to the maximum, and most are empty
            yield _Device(index, handle, parent)


def _describe(nvml: Any, device: _Device, problems: list[str]) -> Gpu | None:
    try:
        uuid = nvml.nvmlDeviceGetUUID(device.handle)
    except nvml.NVMLError as error:
        problems.append(f"GPU {device.index} is not listed: {error}")
        return None
    whole = device.parent or device.handle  # what the driver tells of a GPU only, never of an instance
    memory = _ask(nvml, "nvmlDeviceGetMemoryInfo", device.handle)
    pci = _ask(nvml, "nvmlDeviceGetPciInfo", whole)
    return Gpu(
        index=device.index,
        uuid=uuid,
        name=_ask(nvml, "nvmlDeviceGetName", device.handle) or "NVIDIA GPU",
        memory_bytes=memory.total if memory else None,
        driver=_ask(nvml, "nvmlSystemGetDriverVersion"),
        cuda=_read_cuda_version(nvml),
        compute_capability=_format_version(_ask(nvml, "nvmlDeviceGetCudaComputeCapability", whole)),
        mig_parent=_ask(nvml, "nvmlDeviceGetUUID", device.parent) if device.parent else None,
        pci_bus_id=_as_text(pci.busId) if pci else None,
    )


def _read_figures(nvml: Any, handle: Any) -> GpuFigures:
    memory = _ask(nvml, "nvmlDeviceGetMemoryInfo", handle)
    rates = _ask(nvml, "nvmlDeviceGetUtilizationRates", handle)
    power = _ask(nvml, "nvmlDeviceGetPowerUsage", handle)
    return GpuFigures(
        uuid=_ask(nvml, "nvmlDeviceGetUUID", handle) or "",
        utilization_percent=rates.gpu if rates else None,
        memory_used_bytes=memory.used if memory else None,
        memory_total_bytes=memory.total if memory else None,
        temperature_celsius=_ask(nvml, "nvmlDeviceGetTemperature", handle, nvml.NVML_TEMPERATURE_GPU),
        power_watts=None if power is None else power / 1000,
        process_ids=list_process_ids(nvml, handle),
    )


def _ask(nvml: Any, name: str, *arguments: Any) -> Any:
    """The answer, or None: this GPU, driver or user can't have it (NVMLError), or it is no text (ValueError).

    Functions are asked for by their version: pynvml's unversioned names have an error of their own for old drivers
    (NVMLLibraryMismatchError, which is no NVMLError).
    """
    try:
        return getattr(nvml, name)(*arguments)
    except (nvml.NVMLError, ValueError):
        return None


def _read_cuda_version(nvml: Any) -> str | None:
    number = _ask(nvml, "nvmlSystemGetCudaDriverVersion_v2") or _ask(nvml, "nvmlSystemGetCudaDriverVersion")
    return _format_version((number // 1000, number % 1000 // 10)) if number else None


def _format_version(parts: tuple[int, int] | None) -> str | None:
    return f"{parts[0]}.{parts[1]}" if parts else None


def _as_text(value: Any) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
