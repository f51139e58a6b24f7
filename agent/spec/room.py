"""The room that a machine has left for jobs: the one rule by which the server and a local run grant cores, memory and GPUs.

A job takes what it asks for and gives it back when it ends. What it does not ask for is not set aside. A GPU that its machine
withholds is nobody's: there is no room on it, and one that a job gives back stays away. Jobs that share are on one GPU up to its
memory, and never beside one that has it for itself.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Self

from agent.spec.request import GpuRequest, ResourceRequest, join_words, list_wanted, matches
from agent.spec.resources import Gpu, GpuLink, Inventory
from agent.spec.topology import choose_connected, rank_links

_ROUNDING = 1e-9  # cores are fractions, and fractions add up badly


@dataclass(frozen=True, slots=True)
class SharedGpu:
    """A GPU that several jobs are on: what of its memory is nobody's yet, and how many they are."""

    gpu: Gpu
    free_bytes: int
    tenants: int


class Room:
    """Free slots, cores, memory and GPUs of one machine. `shared` are GPUs that have a job which lets others on them.

    Of one that `has_queue` (a cluster that jobs are handed to) only slots are taken: the rest says how big one job may be.
    """

    __slots__ = ("cpus", "gpus", "has_queue", "links", "memory_bytes", "shared", "slots")

    def __init__(
        self,
        slots: int,
        cpus: float,
        memory_bytes: int,
        gpus: Mapping[str, Gpu],
        links: Collection[GpuLink] = (),
        *,
        has_queue: bool = False,
    ) -> None:
        self.has_queue = has_queue
        self.slots = slots
        self.cpus = cpus
        self.memory_bytes = memory_bytes
        self.gpus = {uuid: gpu for uuid, gpu in gpus.items() if not gpu.withheld}
        self.links = links
        self.shared: dict[str, SharedGpu] = {}

    def copy(self) -> Self:
        """The same room, to be changed apart."""
        twin = type(self)(
            self.slots, self.cpus, self.memory_bytes, self.gpus, self.links, has_queue=self.has_queue
        )
        twin.shared = dict(self.shared)
        return twin

    def holds(self, request: ResourceRequest, gpus: GpuRequest) -> bool:
        """Whether there is room for this now."""
        return self.slots >= 1 and self.has(request, gpus)

    def has(self, request: ResourceRequest, gpus: GpuRequest) -> bool:
        """Whether these cores, this memory and these GPUs are free, with a free slot or without."""
        return (
            request.cpus <= self.cpus + _ROUNDING
            and request.memory_bytes <= self.memory_bytes
            and (not gpus.count or len(self._find_free(gpus)) + len(self._find_shared(gpus)) >= gpus.count)
        )

    def find_gpus(self, wanted: GpuRequest) -> tuple[str, ...]:
        """The free GPUs that will do, at most as many as wanted: the best connected, then the smallest, so that big ones are left.

        Who shares gets those first that are shared already and have the least left.
        """
        if not wanted.count:
            return ()
        joined = tuple(one.gpu.uuid for one in self._find_shared(wanted)[: wanted.count])
        ranks = rank_links(self.links)
        return joined + choose_connected(self._find_free(wanted), wanted.count - len(joined), ranks)

    def take(self, request: ResourceRequest, gpus: Iterable[str]) -> None:
        """This is somebody's from now on."""
        self.slots -= 1
        if self.has_queue:
            return
        self.cpus -= request.cpus
        self.memory_bytes -= request.memory_bytes
        part_bytes = _shared_bytes(request)
        for uuid in gpus:
            gpu = self.gpus.pop(uuid, None)
            for part in _list_instances(uuid, self.gpus) if gpu is None else ():
                del self.gpus[
                    part
                ]  # it was cut up while a job has it: its parts are that job's until it ends
            if part_bytes and gpu is not None:
                self.shared[uuid] = SharedGpu(gpu, gpu.memory_bytes or 0, 0)
            if part_bytes and uuid in self.shared:
                self._change_tenants(uuid, part_bytes, 1)

    def give_back(self, request: ResourceRequest, gpus: Iterable[str], machine: Mapping[str, Gpu]) -> None:
        """This is free again. A GPU that the machine does not have any more, or withholds, stays away."""
        self.slots += 1
        if self.has_queue:
            return
        self.cpus += request.cpus
        self.memory_bytes += request.memory_bytes
        part_bytes = _shared_bytes(request)
        for uuid in gpus:
            if part_bytes:
                if uuid not in self.shared or self._change_tenants(uuid, -part_bytes, -1):
                    continue
                del self.shared[uuid]
            for back in [uuid] if uuid in machine else _list_instances(uuid, machine):
                if not machine[back].withheld:
                    self.gpus[back] = machine[back]

    def lacks(self, request: ResourceRequest, gpus: GpuRequest) -> str:
        """What of this is not free now: `2 free GPUs`, `a free slot`, both; empty when there is room."""
        parts = [] if self.has(request, gpus) else list_wanted(request, gpus, adjective="free")
        return join_words([*parts, "a free slot"] if self.slots < 1 else parts)

    def _find_free(self, wanted: GpuRequest) -> list[Gpu]:
        return [gpu for gpu in self.gpus.values() if matches(wanted, gpu)]

    def _find_shared(self, wanted: GpuRequest) -> list[SharedGpu]:
        """Those with room for one more, the fullest first; none for who wants GPUs of its own."""
        if not wanted.is_shared:
            return []
        found = [
            one
            for one in self.shared.values()
            if wanted.memory_bytes <= one.free_bytes and matches(wanted, one.gpu)
        ]
        return sorted(found, key=lambda one: (one.free_bytes, one.gpu.index, one.gpu.uuid))

    def _change_tenants(self, uuid: str, taken_bytes: int, tenants: int) -> int:
        """How many are on it now."""
        was = self.shared[uuid]
        now = SharedGpu(was.gpu, was.free_bytes - taken_bytes, was.tenants + tenants)
        self.shared[uuid] = now
        return now.tenants


def _list_instances(uuid: str, gpus: Mapping[str, Gpu]) -> list[str]:
    return [name for name, gpu in gpus.items() if gpu.mig_parent == uuid]


def _shared_bytes(request: ResourceRequest) -> int:
    """What a job takes of the memory of each of its GPUs, where it lets others on them; 0: they are its own."""
    return request.gpus.memory_bytes if request.gpus is not None and request.gpus.is_shared else 0


QUEUE_SLOTS: Final = 64  # of an agent whose jobs go to a cluster

# The variables of a job that has no GPU, on a machine that has some.
NO_GPUS: Final[Mapping[str, str]] = MappingProxyType(
    {"AGENT_GPUS": "", "CUDA_VISIBLE_DEVICES": "", "NVIDIA_VISIBLE_DEVICES": "void"}
)


def choose_slots(inventory: Inventory, *, is_ephemeral: bool = False) -> int:
    """How many jobs a machine takes at once when its owner says nothing: one a GPU, so that none is idle behind another.

    An agent for one job has one slot: that job has the machine to itself, and so all of its GPUs. A cluster with a queue of its own
    gets enough to choose from.
    """
    if is_ephemeral:
        return 1
    return QUEUE_SLOTS if inventory.partitions else max(1, len(inventory.gpus))


def describe_machine(gpus: Iterable[Gpu], cpus: float, memory_bytes: int) -> str:
    """All that a machine has, for who asks for more: `2 × NVIDIA H200, 16 cpus and 64 GB of memory`."""
    names: dict[str, int] = {}
    for gpu in gpus:
        names[gpu.name] = names.get(gpu.name, 0) + 1
    shown = [f"{count} × {name}" for name, count in names.items()] or ["no GPU"]
    return f"{', '.join(shown)}, {cpus:g} cpus and {memory_bytes / 1e9:.0f} GB of memory"


def explain_withheld(gpus: Collection[Gpu]) -> str:
    """Which of a machine's GPUs no job is given, and why: `1 of 4 GPUs is withheld: GPU 2 (it fell off the bus)`; empty for none."""
    reasons: dict[str, list[str]] = {}
    for gpu in gpus:
        if gpu.withheld:
            reasons.setdefault(gpu.withheld, []).append(str(gpu.index))
    if not reasons:
        return ""
    count = sum(map(len, reasons.values()))
    parts = [
        f"GPU{'' if len(indices) == 1 else 's'} {join_words(indices)} ({reason})"
        for reason, indices in reasons.items()
    ]
    noun = "GPU" if len(gpus) == 1 else "GPUs"
    return f"{count} of {len(gpus)} {noun} {'is' if count == 1 else 'are'} withheld: {', '.join(parts)}"


def gpu_variables(uuids: Collection[str], machine: Iterable[Gpu]) -> dict[str, str]:
    """The variables that tell a job which GPUs of `machine` are its own; none where there is no GPU.

    The machine's are those too that its agent does not offer. Who has all of them is not held to their names: some libraries take CUDA_VISIBLE_DEVICES for numbers.
    """
    there = {gpu.uuid for gpu in machine}
    if not there:
        return {}
    names = ",".join(uuids)
    if there <= set(uuids):
        return {"AGENT_GPUS": names}
    return {"AGENT_GPUS": names, "CUDA_VISIBLE_DEVICES": names, "NVIDIA_VISIBLE_DEVICES": names or "void"}
