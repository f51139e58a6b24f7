"""Health of the GPUs, as the driver shows it: a few cheap questions to each, asked every other second; and its events.

What the driver has noted it answers without the GPU, so that one that fell off the bus still has a UUID: among the questions
are such as it has to ask the GPU itself.
"""

import ctypes
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from agent.machine.gpu_faults import (
    IRQ_ISSUE,
    LOST,
    NOT_THERE,
    RESET_REQUIRED,
    TIMEOUT,
    UNKNOWN,
    DriverLook,
    GpuHealth,
    GpuUnit,
    XidEvent,
)
from agent.machine.probes.nvidia_facts import count_uncorrected
from agent.machine.probes.nvidia_session import ask, is_in_mig_mode, walk_instances

# What says that the driver, and not a GPU, is away: uninitialised, not loaded, its library of another version.
_AWAY = frozenset({1, 9, 18})
_BROKEN = frozenset({TIMEOUT, IRQ_ISSUE, LOST, RESET_REQUIRED, NOT_THERE, UNKNOWN})
_RECOVERY_FIELD = 230  # NVML_FI_DEV_GET_GPU_RECOVERY_ACTION, since R565
_NO_INSTANCE = 0xFFFFFFFF


def look_at_gpus(nvml: Any) -> DriverLook:
    """All GPUs now. Raises nothing; blocks for as long as the driver does."""
    gpus: list[GpuHealth] = []
    unreachable = 0
    try:
        for index in range(nvml.nvmlDeviceGetCount()):
            health = _look_at(nvml, index)
            if health is None:
                unreachable += 1
            else:
                gpus.append(health)
    except nvml.NVMLError as error:
        return DriverLook(away=f"the NVIDIA driver is away ({error})")
    return DriverLook(tuple(gpus), unreachable)


def _look_at(nvml: Any, index: int) -> GpuHealth | None:
    """None: the driver can't reach it, or does not even name it. Raises NVMLError when the driver itself is away."""
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        uuid = nvml.nvmlDeviceGetUUID(handle)
    except nvml.NVMLError as error:
        if error.value in _AWAY:
            raise
        return None
    remapped = ask(nvml, "nvmlDeviceGetRemappedRows", handle)
    return GpuHealth(
        index,
        uuid,
        tuple(_list_units(nvml, index, handle, uuid)),
        error=_touch(nvml, handle),
        uncorrected=count_uncorrected(nvml, handle),
        remap_pending=bool(remapped[2]) if remapped else None,
        remap_failed=bool(remapped[3]) if remapped else None,
        retire_pending=bool(ask(nvml, "nvmlDeviceGetRetiredPagesPendingStatus", handle)),
        recovery=_read_recovery(nvml, handle),
    )


def _touch(nvml: Any, handle: Any) -> int:
    """Ask the GPU itself. Raises NVMLError when the driver is away."""
    questions: tuple[tuple[str, tuple[Any, ...]], ...] = (
        ("nvmlDeviceGetMemoryInfo", ()),
        ("nvmlDeviceGetTemperature", (nvml.NVML_TEMPERATURE_GPU,)),
    )
    for name, more in questions:
        try:
            getattr(nvml, name)(handle, *more)
        except nvml.NVMLError as error:
            if error.value in _AWAY:
                raise
            if error.value in _BROKEN:
                return int(error.value)
    return 0


def _list_units(nvml: Any, index: int, handle: Any, uuid: str) -> Iterator[GpuUnit]:
    if not is_in_mig_mode(nvml, handle):
        yield GpuUnit(uuid)
        return
    for instance in walk_instances(nvml, index, handle):
        name = ask(nvml, "nvmlDeviceGetUUID", instance.handle)
        number = ask(nvml, "nvmlDeviceGetGpuInstanceId", instance.handle)
        if name:
            yield GpuUnit(name, -1 if number is None else number)


def _read_recovery(nvml: Any, handle: Any) -> int | None:
    values = ask(nvml, "nvmlDeviceGetFieldValues", handle, [_RECOVERY_FIELD])
    return int(values[0].value.uiVal) if values is not None and values[0].nvmlReturn == 0 else None


class XidStream:
    """The Xids of all GPUs as the driver reports them. An old driver has no events: then there are none."""

    def __init__(self, nvml: Any, uuids: frozenset[str]) -> None:
        self.uuids = uuids  # of the GPUs that it was opened for
        self._nvml = nvml
        self._names: dict[int, str] = {}
        self._set: Any = None
        with suppress(nvml.NVMLError):
            self._set = nvml.nvmlEventSetCreate()
            for index in range(nvml.nvmlDeviceGetCount()):
                self._register(index)

    def wait(self, seconds: float) -> XidEvent | None:
        """The next one; None when none came in time. Raises NVMLError when the driver gives no events (any more)."""
        nvml = self._nvml
        if not self._names:
            raise nvml.NVMLError(nvml.NVML_ERROR_NOT_SUPPORTED)
        try:
            data = nvml.nvmlEventSetWait_v2(self._set, int(seconds * 1000))
        except nvml.NVMLError_Timeout:
            return None
        gpu = self._names.get(_address(data.device), "")
        instance = None if data.gpuInstanceId == _NO_INSTANCE else int(data.gpuInstanceId)
        is_xid = bool(data.eventType & nvml.nvmlEventTypeXidCriticalError)
        return XidEvent(gpu, int(data.eventData), instance) if gpu and is_xid else None

    def close(self) -> None:
        """Let go of it."""
        if self._set is not None:
            with suppress(self._nvml.NVMLError):
                self._nvml.nvmlEventSetFree(self._set)
            self._set = None
        self._names = {}

    def _register(self, index: int) -> None:
        nvml = self._nvml
        with suppress(nvml.NVMLError):  # a GPU without events is looked at all the same
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            nvml.nvmlDeviceRegisterEvents(handle, nvml.nvmlEventTypeXidCriticalError, self._set)
            self._names[_address(handle)] = nvml.nvmlDeviceGetUUID(handle)


def _address(handle: Any) -> int:
    return ctypes.cast(handle, ctypes.c_void_p).value or 0
