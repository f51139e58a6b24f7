"""Resources of a machine: the inventory that an agent registers, and the labels that follow from it.

An inventory is a statement of facts, taken by `agent.machine.inventory` and stored by the server. A fact that could
not be had is None (or missing from `tools`) and a sentence in `problems` says why; nothing is guessed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar, cast

from agent import codec
from agent.errors import DamagedError

_Record = TypeVar("_Record")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, or one MIG instance of a GPU: what can be leased to a job, named by its `uuid`.

    What could not be read is None (or, of text for people, empty). What an instance can't say of itself is its GPU's.

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
    mig_profile: str | None = None  # "1g.10gb"
    gpu_instance: int | None = None  # the driver's numbers of a MIG instance's two halves
    compute_instance: int | None = None
    numa_node: int | None = None
    cpus: str | None = None  # those close to it, as the kernel writes them: 0-15,32-47
    persistence: bool | None = None  # whether the driver keeps it awake
    ecc: bool | None = None
    ecc_uncorrected: int | None = None  # since the driver was loaded or the GPU reset
    remapped_rows: int | None = None  # of its memory, broken and replaced for good
    remap_pending: bool | None = None  # whether one more waits for a reset
    retired_pages: int | None = None  # the same of GPUs from before A100
    throttling: tuple[str, ...] | None = None  # what slows it down: "power cap", "hardware thermal slowdown"
    power_limit_watts: float | None = None
    pcie_generation: int | None = None  # that GPU and slot can do; at rest the link runs slower
    pcie_width: int | None = None  # lanes in use, and those that there could be
    pcie_width_most: int | None = None
    nvlinks: int | None = None  # that are up


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

    `tools` maps a tool's name (git, docker, node, python, bash) to its version; `problems` are sentences for people. `share` says
    which of the machine's GPUs are not listed, where its agent has a part of them only.
    `partitions` are those of the cluster to which its jobs are handed (Slurm): cores, memory and GPUs then say how big one job may
    be, and how many wait there is a matter of slots alone.
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
    share: str = ""
    partitions: tuple[str, ...] = ()


def derive_labels(inventory: Inventory) -> tuple[str, ...]:
    """The labels that this machine has by nature, all lower-case, in a fixed order, without doubles.

    GitHub's own three come first (self-hosted, linux, x64); docs/machine.md lists what a GPU adds.
    """
    labels = ["self-hosted", inventory.os.lower(), inventory.arch.lower()]
    for gpu in inventory.gpus:
        labels += _list_gpu_labels(gpu)
    if any(gpu.mig_parent for gpu in inventory.gpus):
        labels.append("mig")
    if inventory.partitions:
        labels += ["slurm", *(f"slurm-{name.lower()}" for name in inventory.partitions)]
    return tuple(dict.fromkeys(labels))


def gpu_labels(gpu: Gpu) -> frozenset[str]:
    """The labels that a machine has because of this GPU."""
    return frozenset((*_list_gpu_labels(gpu), *(("mig",) if gpu.mig_parent else ())))


def to_json(inventory: Inventory) -> dict[str, object]:
    """`inventory` as plain JSON data, every field present; `inventory_from_json` reads it back."""
    data: dict[str, object] = {name: getattr(inventory, name) for name in Inventory.__slots__}
    return {name: codec.to_json(value) for name, value in data.items()}


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
        disks=_records(Disk, top, "disks"),
        gpus=_records(Gpu, top, "gpus"),
        tools={
            name: _as_text(version, "tools")
            for name, version in _as_object(top.get("tools", {}), "tools").items()
        },
        problems=tuple(_as_text(problem, "problems") for problem in _list(top, "problems")),
        links=_records(GpuLink, top, "links"),
        share=_as_text(top.get("share", ""), "share"),
        partitions=tuple(_as_text(name, "partitions") for name in _list(top, "partitions")),
    )


_MEMORY_WORD = re.compile(r"\d+gb")
# Words of a product name that say nothing about which GPU it is: the maker, the brand, the socket, the memory's kind.
_EMPTY_WORDS = re.compile(
    r"nvidia|geforce|tesla|quadro|gpu|graphics|device|generation|server|workstation|edition|max-?q|pcie|nvl|sxm\d*|hbm\d*e?"
)


def _list_gpu_labels(gpu: Gpu) -> tuple[str, ...]:
    return _derive_gpu_labels(
        gpu.name, gpu.cuda or "", gpu.compute_capability or "", gpu.mig_profile or "", bool(gpu.nvlinks)
    )


@lru_cache(maxsize=4096)
def _derive_gpu_labels(
    name: str,
    cuda: str,
    capability: str,
    profile: str,
    has_nvlinks: bool,  # noqa: FBT001 - a fact, as the others
) -> tuple[str, ...]:
    major = cuda.partition(".")[0]
    labels = ["gpu", "nvidia", *(["cuda", f"cuda-{major}"] if re.fullmatch(r"[0-9]+", major) else [])]
    labels += _model_labels(name)
    if re.fullmatch(r"[a-z0-9.+]+", profile):
        labels.append(f"mig-{profile}")
    if re.fullmatch(r"[0-9]+\.[0-9]+", capability):
        labels.append(f"sm-{capability.replace('.', '')}")
    if has_nvlinks:
        labels.append("nvlink")
    return tuple(dict.fromkeys(labels))


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


def _records(kind: type[_Record], data: Mapping[str, object], key: str) -> tuple[_Record, ...]:
    return tuple(codec.from_json(kind, _as_object(item, key), where="inventory") for item in _list(data, key))


def _text(data: Mapping[str, object], key: str) -> str:
    return _as_text(data.get(key), key)


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
