"""Processes that compute on a GPU, asked of drivers old and new.

NVML's function has three versions. Each driver has those up to its time, and pynvml calls one that is missing
NVMLError_FunctionNotFound (its unversioned name knows the newest only, and has an error of its own for the others).
The oldest fills a smaller structure, which pynvml does not know any more.

    ..._v3  R510 and newer      ..._v2  R450 and newer      no suffix  before
"""

import ctypes
from typing import Any

_NAME = "nvmlDeviceGetComputeRunningProcesses"
_SPARE = 8  # processes that may have begun between the two questions


class _Process(ctypes.Structure):
    """nvmlProcessInfo_v1_t of nvml.h."""

    _fields_ = [("pid", ctypes.c_uint), ("used_memory_bytes", ctypes.c_ulonglong)]


def list_process_ids(nvml: Any, handle: Any) -> tuple[int, ...] | None:
    """The process ids; None: the driver can't tell."""
    found = list_processes(nvml, handle)
    return None if found is None else tuple(pid for pid, _memory in found)


def list_processes(nvml: Any, handle: Any) -> tuple[tuple[int, int | None], ...] | None:
    """The processes and what memory of the GPU each has (bytes; None: the driver can't tell), by the newest function that it has.

    None: it can't tell which there are.
    """
    for version in ("_v3", "_v2"):
        try:
            found = getattr(nvml, _NAME + version)(handle)
            return tuple((process.pid, process.usedGpuMemory) for process in found)
        except nvml.NVMLError as error:
            if error.value != nvml.NVML_ERROR_FUNCTION_NOT_FOUND:
                return None
    return _list_by_oldest(nvml, handle)


def _list_by_oldest(nvml: Any, handle: Any) -> tuple[tuple[int, int | None], ...] | None:
    """By the function of before MIG, called as nvml.h says: first for the number, then for the processes."""
    function = getattr(nvml.nvmlLib, _NAME, None)
    if function is None:
        return None
    count = ctypes.c_uint(0)
    answer = function(handle, ctypes.byref(count), None)
    if answer == nvml.NVML_SUCCESS:
        return ()
    if answer != nvml.NVML_ERROR_INSUFFICIENT_SIZE:
        return None
    count.value += _SPARE
    processes = (_Process * count.value)()
    if function(handle, ctypes.byref(count), processes) != nvml.NVML_SUCCESS:
        return None
    return tuple((processes[place].pid, processes[place].used_memory_bytes) for place in range(count.value))
