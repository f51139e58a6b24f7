"""Resources of a machine: the inventory that an agent registers, and the labels that follow from it.

An inventory is a statement of facts, taken by `agent.machine.inventory` and stored by the server. A fact that could
not be had is None (or missing from `tools`) and a sentence in `problems` says why; nothing is guessed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import cast

from agent.errors import DamagedError


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, or one MIG instance of a GPU: what can be leased to a job, named by its `uuid`.

    `index` is the driver's number of the physical GPU and may change at a reboot; instances of one GPU share it.
    `cuda` is the newest CUDA version that the driver serves ("12.8"), `mig_parent` the UUID of the GPU that a MIG
    instance is cut from, None for a whole GPU. `withheld` is why no job is given it now, in words for whoever waits for
    it ("it fell off the bus"); empty: it is offered.
    """

    index: int
    uuid: str
    name: str
    memory_bytes: int | None = None
    driver: str | None = None
    cuda: str | None = None
    compute_capability: str | None = None
    mig_parent: str | None = None
    pci_bus_id: str | None = None
    withheld: str = ""


@dataclass(frozen=True, slots=True)
class GpuLink:
    """How two GPUs of a machine are connected. `first` and `second` are the UUIDs of whole GPUs (an instance's `mig_parent`).

    `kind` is a word of `nvidia-smi topo -m`: NV4 (so many NVLinks), else how far apart they are on PCIe: PSB (one board),
    PIX (one bridge), PXB (several bridges), PHB (a host bridge), NODE (a NUMA node), SYS (between NUMA nodes).
    """

    first: str
    second: str
    kind: str

    @property
    def closeness(self) -> int:
        """How well they are connected, for comparing: any NVLink is better than any PCIe, more are better than fewer. 0: unknown."""
        if re.fullmatch(r"NV[0-9]+", self.kind):
            return 100 + int(self.kind[2:])
        return _FAR_TO_NEAR.index(self.kind) + 1 if self.kind in _FAR_TO_NEAR else 0


_FAR_TO_NEAR = ("SYS", "NODE", "PHB", "PXB", "PIX", "PSB")


@dataclass(frozen=True, slots=True)
class Disk:
    """One file system, named by the folder that it is mounted on."""

    path: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Inventory:
    """A machine at one moment. `os` and `arch` are GitHub's words (`runner.os`, `runner.arch`): Linux, X64, ARM64.

    `tools` maps a tool's name (git, docker, node, python, bash) to its version; `problems` are sentences for people.
    """

    hostname: str
    os: str
    os_version: str
    arch: str
    kernel: str
    cpu_model: str
    cpu_count: int
    memory_bytes: int
    disks: tuple[Disk, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    links: tuple[GpuLink, ...] = ()  # each pair of GPUs once


def derive_labels(inventory: Inventory) -> tuple[str, ...]:
    """The labels that this machine has by nature, all lower-case, in a fixed order, without doubles.

    GitHub's own three come first (self-hosted, linux, x64); docs/machine.md lists what a GPU adds.
    """
    labels = ["self-hosted", inventory.os.lower(), inventory.arch.lower()]
    for gpu in inventory.gpus:
        labels += _list_gpu_labels(gpu)
    if any(gpu.mig_parent for gpu in inventory.gpus):
        labels.append("mig")
    return tuple(dict.fromkeys(labels))


@lru_cache(maxsize=4096)
def gpu_labels(gpu: Gpu) -> frozenset[str]:
    """The labels that a machine has because of this GPU."""
    return frozenset((*_list_gpu_labels(gpu), *(("mig",) if gpu.mig_parent else ())))


def to_json(inventory: Inventory) -> dict[str, object]:
    """`inventory` as plain JSON data, every field present; `inventory_from_json` reads it back."""
    data: dict[str, object] = {name: getattr(inventory, name) for name in Inventory.__slots__}
    data["disks"] = [{name: getattr(disk, name) for name in Disk.__slots__} for disk in inventory.disks]
    data["gpus"] = [{name: getattr(gpu, name) for name in Gpu.__slots__} for gpu in inventory.gpus]
    data["links"] = [{name: getattr(link, name) for name in GpuLink.__slots__} for link in inventory.links]
    data["tools"] = dict(inventory.tools)
    data["problems"] = list(inventory.problems)
    return data


def inventory_from_json(data: object) -> Inventory:
    """The inventory that `to_json` wrote, also one by an older or newer agent: unknown keys are passed over.

    Raises DamagedError, naming the key, when a required key is missing or a value has the wrong type.
    """
    top = _as_object(data, "inventory")
    return Inventory(
        hostname=_text(top, "hostname"),
        os=_text(top, "os"),
        os_version=_text(top, "os_version"),
        arch=_text(top, "arch"),
        kernel=_text(top, "kernel"),
        cpu_model=_text(top, "cpu_model"),
        cpu_count=_whole(top, "cpu_count"),
        memory_bytes=_whole(top, "memory_bytes"),
        disks=tuple(_read_disk(_as_object(disk, "disks")) for disk in _list(top, "disks")),
        gpus=tuple(_read_gpu(_as_object(gpu, "gpus")) for gpu in _list(top, "gpus")),
        tools={
            name: _as_text(version, "tools")
            for name, version in _as_object(top.get("tools", {}), "tools").items()
        },
        problems=tuple(_as_text(problem, "problems") for problem in _list(top, "problems")),
        links=tuple(_read_link(_as_object(link, "links")) for link in _list(top, "links")),
    )


_MEMORY_WORD = re.compile(r"\d+gb")
# Words of a product name that say nothing about which GPU it is: the maker, the brand, the socket, the memory's kind.
_EMPTY_WORDS = re.compile(
    r"nvidia|geforce|tesla|quadro|gpu|graphics|device|generation|server|workstation|edition|max-?q|pcie|nvl|sxm\d*|hbm\d*e?"
)


def _list_gpu_labels(gpu: Gpu) -> list[str]:
    major = (gpu.cuda or "").partition(".")[0]
    cuda = ["cuda", f"cuda-{major}"] if re.fullmatch(r"[0-9]+", major) else []
    return ["gpu", "nvidia", *cuda, *_model_labels(gpu.name)]


def _model_labels(name: str) -> list[str]:
    """`NVIDIA A100-SXM4-80GB` -> a100, a100-80gb; `... MIG 1g.5gb` -> also mig-1g.5gb."""
    model, _, profile = name.lower().partition(" mig ")
    words = [word for word in re.split(r"[^a-z0-9]+", model) if word and not _EMPTY_WORDS.fullmatch(word)]
    slug = "-".join(word for word in words if not _MEMORY_WORD.fullmatch(word))
    memory = next((word for word in words if _MEMORY_WORD.fullmatch(word)), "")
    labels = [slug] if slug else []
    if slug and memory:
        labels.append(f"{slug}-{memory}")
    if re.fullmatch(r"[a-z0-9.+]+", profile):
        labels.append(f"mig-{profile}")
    return labels


def _read_disk(data: Mapping[str, object]) -> Disk:
    return Disk(_text(data, "path"), _whole(data, "total_bytes"), _whole(data, "free_bytes"))


def _read_link(data: Mapping[str, object]) -> GpuLink:
    return GpuLink(_text(data, "first"), _text(data, "second"), _text(data, "kind"))


def _read_gpu(data: Mapping[str, object]) -> Gpu:
    memory = data.get("memory_bytes")
    return Gpu(
        index=_whole(data, "index"),
        uuid=_text(data, "uuid"),
        name=_text(data, "name"),
        memory_bytes=None if memory is None else _whole(data, "memory_bytes"),
        driver=_text_or_none(data, "driver"),
        cuda=_text_or_none(data, "cuda"),
        compute_capability=_text_or_none(data, "compute_capability"),
        mig_parent=_text_or_none(data, "mig_parent"),
        pci_bus_id=_text_or_none(data, "pci_bus_id"),
        withheld=_text_or_none(data, "withheld") or "",
    )


def _text(data: Mapping[str, object], key: str) -> str:
    return _as_text(data.get(key), key)


def _text_or_none(data: Mapping[str, object], key: str) -> str | None:
    return None if data.get(key) is None else _text(data, key)


def _whole(data: Mapping[str, object], key: str) -> int:
    value = data.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _wrong(key, "a whole number that is not negative")
    return value


def _list(data: Mapping[str, object], key: str) -> list[object]:
    value = data.get(key, [])
    if not isinstance(value, list):
        raise _wrong(key, "a list")
    return value


def _as_object(value: object, key: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise _wrong(key, "an object")
    return cast("Mapping[str, object]", value)


def _as_text(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise _wrong(key, "a string")
    return value


def _wrong(key: str, expected: str) -> DamagedError:
    return DamagedError(
        f"a machine's inventory has '{key}' which is not {expected}", where=f"inventory.{key}"
    )
