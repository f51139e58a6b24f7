"""A session with the NVIDIA driver, what it lists, and questions that may fail: what all that ask NVML have in common."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Device:
    """Something that a job could be given, by NVML's handle: a GPU, or a MIG instance of the GPU `parent`."""

    index: int
    handle: Any
    parent: Any = None

    @property
    def whole(self) -> Any:
        """The handle of the GPU: what the driver tells of GPUs only, never of instances."""
        return self.parent or self.handle


def import_pynvml() -> Any:
    """The library, untyped as it is; imported at the first use, as most commands have none for it."""
    import pynvml

    return pynvml


@contextmanager
def session(nvml: Any) -> Iterator[None]:
    """Talk to the driver for the time of the block. Raises NVMLError."""
    nvml.nvmlInit()
    try:
        yield
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def walk(nvml: Any, problems: list[str]) -> Iterator[Device]:
    """Each thing that a job could be given; a GPU that does not answer is told of in `problems` and passed over."""
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
        except nvml.NVMLError as error:
            problems.append(f"GPU {index} is not listed: {error}")
            continue
        if not is_in_mig_mode(nvml, handle):
            yield Device(index, handle)
            continue
        instances = list(walk_instances(nvml, index, handle))
        if not instances:
            problems.append(f"GPU {index} is not listed: it is in MIG mode and has no instances")
        yield from instances


def is_in_mig_mode(nvml: Any, handle: Any) -> bool:
    """Whether the GPU can't run anything itself, and its instances can."""
    return bool((ask(nvml, "nvmlDeviceGetMigMode", handle) or [0])[0] == 1)


def walk_instances(nvml: Any, index: int, parent: Any) -> Iterator[Device]:
    """The MIG instances of a GPU."""
    for place in range(ask(nvml, "nvmlDeviceGetMaxMigDeviceCount", parent) or 0):
        handle = ask(nvml, "nvmlDeviceGetMigDeviceHandleByIndex", parent, place)
        if handle is not None:  # places are numbered up to the maximum, and most are empty
            yield Device(index, handle, parent)


def ask(nvml: Any, name: str, *arguments: Any) -> Any:
    """The answer, or None: this GPU, driver or user can't have it (NVMLError), it is no text (ValueError), or pynvml is from
    before the function (AttributeError).

    Functions are asked for by their version: pynvml's unversioned names have an error of their own for old drivers
    (NVMLLibraryMismatchError, which is no NVMLError).
    """
    try:
        return getattr(nvml, name)(*arguments)
    except (nvml.NVMLError, nvml.NVMLLibraryMismatchError, ValueError, AttributeError):
        return None


def as_text(value: Any) -> str:
    """Text of NVML, whichever way pynvml gives it."""
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
