"""The share: which GPUs of this machine are this agent's to offer. All others are somebody else's, and it never speaks of them.

The first of these says it, once, when the agent (or a local run) starts:

    what the owner said           `agent start --gpus 2,3|UUID,...|all|none`, AGENT_GPU_SHARE
    CUDA_VISIBLE_DEVICES          as CUDA reads it; Slurm's grant stands there
    a Slurm allocation without    no GPU was granted: SLURM_STEP_GPUS or SLURM_JOB_GPUS, else none
    NVIDIA_VISIBLE_DEVICES        `all`, `none`, `void`, numbers, UUIDs, `0:1` (the second instance of GPU 0)

In a container the last one was obeyed by the runtime that made it: its numbers are those of the machine outside, and with CDI it
says `void` where there are GPUs. What is visible there is what was given, so that it is passed over.

Numbers are those of the PCI bus, as `nvidia-smi` prints them (CUDA itself may order different models by speed, unless
CUDA_DEVICE_ORDER says PCI_BUS_ID); a UUID may be cut short while it fits one GPU only. CUDA's list ends at what is not there (CUDA
programming guide, *CUDA environment variables*).

From then on the share is UUIDs. A GPU that is of it brings its MIG instances along, those of later too. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from agent.errors import UsageError
from agent.spec.resources import Gpu, Inventory

CUDA_VARIABLE = "CUDA_VISIBLE_DEVICES"
NVIDIA_VARIABLE = "NVIDIA_VISIBLE_DEVICES"
_SLURM_GRANTS = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS")
_NOTHING = ("", "none", "void")
_NO_GRANT = "a Slurm allocation without GPUs"


@dataclass(frozen=True, slots=True)
class ShareWish:
    """What was said of the share, not yet compared with what there is. `origin` names who said it, empty: nobody."""

    words: str = "all"
    origin: str = ""

    def __str__(self) -> str:
        return (
            f"{self.origin} {self.words}" if self.origin.startswith("--") else f"{self.origin}={self.words}"
        )


@dataclass(frozen=True, slots=True)
class Share:
    """The GPUs that are offered, by UUID; None: all that there are, now and later. `words` is who said so, for people."""

    uuids: frozenset[str] | None = None
    words: str = ""

    def has(self, gpu: Gpu) -> bool:
        """Whether this GPU, or the one that it is an instance of, is of the share."""
        return self.uuids is None or not self.uuids.isdisjoint({gpu.uuid, gpu.mig_parent})

    def select(self, gpus: Sequence[Gpu]) -> tuple[Gpu, ...]:
        """Those of `gpus` that are of the share."""
        return tuple(gpu for gpu in gpus if self.has(gpu))

    def apply(self, inventory: Inventory) -> Inventory:
        """The inventory of an agent that has this share of the machine."""
        if self.uuids is None:
            return inventory
        gpus = self.select(inventory.gpus)
        whole = {gpu.mig_parent or gpu.uuid for gpu in gpus}
        links = tuple(link for link in inventory.links if {link.first, link.second} <= whole)
        return replace(inventory, gpus=gpus, links=links, share=self.describe(inventory.gpus))

    def describe(self, gpus: Sequence[Gpu]) -> str:
        """`2 of 4 GPUs are offered (CUDA_VISIBLE_DEVICES=2,3)`; empty where all of `gpus`, the machine's, are."""
        count = len(self.select(gpus))
        if count == len(gpus):
            return ""
        noun = "GPU" if len(gpus) == 1 else "GPUs"
        return f"{count} of {len(gpus)} {noun} {'is' if count == 1 else 'are'} offered ({self.words})"


def read_wish(said: str, origin: str, environment: Mapping[str, str], *, is_container: bool) -> ShareWish:
    """What this process was told of its share; `said` is the owner's word, empty: none, and `origin` where it stands."""
    if said.strip():
        return ShareWish(said.strip(), origin)
    if CUDA_VARIABLE in environment:
        return ShareWish(environment[CUDA_VARIABLE], CUDA_VARIABLE)
    if "SLURM_JOB_ID" in environment:
        granted = next((name for name in _SLURM_GRANTS if environment.get(name)), "")
        return ShareWish(environment[granted], granted) if granted else ShareWish("none", _NO_GRANT)
    if environment.get(NVIDIA_VARIABLE) and not is_container:
        return ShareWish(environment[NVIDIA_VARIABLE].strip(), NVIDIA_VARIABLE)
    return ShareWish()


def fix_share(wish: ShareWish, gpus: Sequence[Gpu], *, is_complete: bool = True) -> Share:
    """The share as UUIDs, of a machine that has `gpus` now.

    Raises UsageError when the owner named what is not there, unless the driver does not tell of all (`is_complete`). A whole UUID
    is taken as it is: that GPU may be back tomorrow. Of the variables CUDA's ends at what is not there, and the others
    pass over it, as CUDA and NVIDIA's container runtime do.
    """
    if wish.words == "all" and wish.origin != CUDA_VARIABLE:
        return Share()
    if wish.origin == _NO_GRANT:
        return Share(frozenset(), _NO_GRANT)
    found: set[str] = set()
    for word in (word.strip() for word in wish.words.split(",")):
        named = find_uuids(gpus, word) or ({word} if _is_uuid(word) else set())
        if not named and wish.origin == CUDA_VARIABLE:
            break
        is_owners = is_complete and wish.origin not in (NVIDIA_VARIABLE, *_SLURM_GRANTS)
        if not named and is_owners and word not in _NOTHING:
            what = f"this machine has no GPU '{word}'"
            raise UsageError(what, where=wish.origin, hint=f"it has {list_shown(gpus)}")
        found |= named
    return Share(frozenset(found), str(wish))


def list_shown(gpus: Sequence[Gpu]) -> str:
    """`0 (GPU-…), 1 (GPU-…)`, for who has named another."""
    return ", ".join(f"{gpu.index} ({gpu.uuid})" for gpu in gpus) or "none"


def find_uuids(gpus: Sequence[Gpu], word: str) -> set[str]:
    """What is meant by a number, `0:1`, or a UUID that may be cut short; the number of a GPU in MIG mode means that GPU as a whole."""
    index, colon, place = word.partition(":")
    if colon:
        instances = [gpu.uuid for gpu in gpus if gpu.mig_parent and index == str(gpu.index)]
        is_there = place.isascii() and place.isdecimal() and int(place) < len(instances)
        return {instances[int(place)]} if is_there else set()
    if word.isascii() and word.isdecimal():
        return {gpu.mig_parent or gpu.uuid for gpu in gpus if gpu.index == int(word)}
    known = {name for gpu in gpus for name in (gpu.uuid, gpu.mig_parent) if name}
    meant = {name for name in known if name.lower().startswith(word.lower())} if word else set()
    return meant if len(meant) == 1 else set()


def _is_uuid(word: str) -> bool:
    return word.startswith(("GPU-", "MIG-")) and len(word) >= len("GPU-") + 36
