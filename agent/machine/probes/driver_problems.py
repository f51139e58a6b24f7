"""Driver problems: why the NVIDIA driver gives us no GPUs, in sentences: what is wrong and what to do about it."""

from contextlib import suppress
from pathlib import Path

DRIVER = "the NVIDIA driver"

_LIBRARY_NOT_FOUND = 12
# By NVML's error numbers (nvml.h, nvmlReturn_t), which are fixed.
_SENTENCES = {
    4: f"no permission to use {DRIVER}: GPUs not listed; add this user to the groups that own /dev/nvidia*",
    9: f"{DRIVER} is not loaded: GPUs not listed; try `nvidia-smi`, then `modprobe nvidia` or a reboot",
    13: f"{DRIVER} is too old for this agent: GPUs not listed; install a current driver",
    17: f"the operating system keeps us from {DRIVER}: GPUs not listed",
    18: f"{DRIVER} was updated but its old kernel module is still loaded: GPUs not listed; reboot",
}
_NO_LIBRARY = (
    "an NVIDIA GPU is built in but its driver's library libnvidia-ml.so.1 is not found: GPUs not listed; "
    "install the driver, or in a container start it with `--gpus all`"
)


def explain_failed_start(
    number: int, text: str, *, devices: Path = Path("/sys/bus/pci/devices")
) -> tuple[str, ...]:
    """What NVML's error `number`, with the driver's own `text` for it, means for a person; nothing if it is no problem.

    No driver is as it should be on a machine without GPUs, and a problem on one that has some.
    """
    if number == _LIBRARY_NOT_FOUND:
        return (_NO_LIBRARY,) if _has_nvidia_hardware(devices) else ()
    return (_SENTENCES.get(number, f"{DRIVER} failed (NVML error {number}: {text}): GPUs not listed"),)


def explain_silence(seconds: float) -> str:
    """What to say when the driver has not answered within `seconds`."""
    return f"{DRIVER} did not answer within {seconds:g} seconds: GPUs not listed; try `nvidia-smi`, then a reboot"


def _has_nvidia_hardware(devices: Path) -> bool:
    """Whether a PCI display controller (class 0x03) of NVIDIA (vendor 0x10de) is plugged in."""
    for vendor in devices.glob("*/vendor"):
        with suppress(OSError, ValueError):
            kind = vendor.with_name("class").read_text(encoding="ascii")
            if vendor.read_text(encoding="ascii").strip() == "0x10de" and kind.startswith("0x03"):
                return True
    return False
