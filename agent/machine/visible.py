"""Visible GPUs: which ones whoever started us may use. CUDA_VISIBLE_DEVICES, as CUDA reads it.

Numbers are those of the PCI bus, as `nvidia-smi` prints them (CUDA itself may order different models by speed, unless
CUDA_DEVICE_ORDER says PCI_BUS_ID); a UUID may be cut short while it fits one GPU only. What is not there ends the list:
CUDA programming guide, *CUDA environment variables*. Pure.
"""

from collections.abc import Sequence

from agent.spec.resources import Gpu


def find_visible(gpus: Sequence[Gpu], variable: str | None) -> tuple[Gpu, ...]:
    """Those of `gpus` that the variable's value names; None: it is not set, and all are."""
    if variable is None:
        return tuple(gpus)
    seen: dict[str, Gpu] = {}
    for word in variable.split(","):
        found = _find(gpus, word.strip())
        if not found:
            break
        seen.update((gpu.uuid, gpu) for gpu in found)
    return tuple(gpu for gpu in gpus if gpu.uuid in seen)


def _find(gpus: Sequence[Gpu], word: str) -> list[Gpu]:
    """The GPU of this number or UUID. For the number of one in MIG mode: its instances."""
    if word.isascii() and word.isdecimal():
        return [gpu for gpu in gpus if gpu.index == int(word)]
    found = [gpu for gpu in gpus if gpu.uuid.lower().startswith(word.lower())] if word else []
    return found if len(found) == 1 else []
