"""The cluster, as `sinfo` tells it: partitions, and how big a job may be in them. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from agent.errors import UsageError
from agent.spec.resources import Gpu, Inventory

SINFO_FORMAT = "%P|%l|%D|%c|%m|%G"
_GRES = re.compile(r"gpu(?::(?P<type>[^:(),]+))??:(?P<count>\d+)")
_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<parts>\d+(?::\d+){0,2})")
_MEMORY = re.compile(r"(?:^|[^0-9])(\d+)gb(?:$|[^a-z0-9])", re.IGNORECASE)
UNTYPED = ""


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: the most that one of its nodes has. `gpus` is the number by type; `limit_minutes` None: no limit."""

    name: str
    is_default: bool = False
    nodes: int = 0
    cpus: int = 0
    memory_bytes: int = 0
    limit_minutes: int | None = None
    gpus: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


def read_partitions(text: str) -> list[Partition]:
    """The partitions in the lines of `sinfo --exact --noheader --format=SINFO_FORMAT`, each once. Odd lines are passed over."""
    found: dict[str, Partition] = {}
    for line in text.splitlines():
        words = line.strip().split("|")
        if len(words) != 6 or not words[3].isdecimal() or not words[4].isdecimal():
            continue
        name = words[0].removesuffix("*")
        seen = found.get(name, Partition(name, words[0].endswith("*"), limit_minutes=read_minutes(words[1])))
        gpus = dict(seen.gpus)
        for kind, count in _read_gres(words[5]).items():
            gpus[kind] = max(gpus.get(kind, 0), count)
        found[name] = replace(
            seen,
            nodes=seen.nodes + (int(words[2]) if words[2].isdecimal() else 0),
            cpus=max(seen.cpus, int(words[3])),
            memory_bytes=max(seen.memory_bytes, int(words[4]) << 20),
            gpus=gpus,
        )
    return list(found.values())


def read_minutes(text: str) -> int | None:
    """A time of Slurm's (`1-00:00:00`, `30:00`, `infinite`) in whole minutes; None for one without an end."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    parts = [int(part) for part in match["parts"].split(":")]
    days = int(match["days"] or 0)
    if match["days"] is not None:  # days-hours[:minutes[:seconds]]
        hours, minutes = (*parts, 0)[:2]
    elif len(parts) == 3:
        hours, minutes = parts[:2]
    else:  # minutes[:seconds]
        hours, minutes = 0, parts[0]
    return (days * 24 + hours) * 60 + minutes


def choose_partitions(partitions: Sequence[Partition], names: Sequence[str]) -> list[Partition]:
    """Those that the owner offers, in that order; Slurm's default where nothing is named. Raises UsageError for one that is not there."""
    if not names:
        return [one for one in partitions if one.is_default] or list(partitions[:1])
    known = {one.name: one for one in partitions}
    for name in names:
        if name not in known:
            raise UsageError(
                f"Slurm has no partition '{name}'",
                where="slurm_partitions",
                hint=f"it has {', '.join(known) or 'none'}",
            )
    return [known[name] for name in names]


def describe_cluster(head: Inventory, partitions: Iterable[Partition]) -> Inventory:
    """The inventory of an agent whose jobs go to `partitions`: how big one job may be; the rest is the head node's."""
    offered = list(partitions)
    kinds: dict[str, int] = {}
    for one in offered:
        for kind, count in one.gpus.items():
            kinds[kind] = max(kinds.get(kind, 0), count)
    return replace(
        head,
        cpu_model="",
        cpu_count=max((one.cpus for one in offered), default=0),
        memory_bytes=max((one.memory_bytes for one in offered), default=0),
        gpus=tuple(describe_gpu(kind, number) for kind in sorted(kinds) for number in range(kinds[kind])),
        partitions=tuple(one.name for one in offered),
        links=(),  # those, and the share, are of the head node's own GPUs
        share="",
    )


def describe_gpu(kind: str, number: int = 0) -> Gpu:
    """One of the GPUs of this type that a node has. Its UUID is ours: which one a job gets is Slurm's to say."""
    memory = _MEMORY.search(kind)
    return Gpu(
        number,
        f"slurm:{kind}:{number}",
        kind.replace("_", " ") or "GPU",
        memory_bytes=int(memory[1]) * 10**9 if memory else None,
    )


def _read_gres(text: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for part in re.sub(r"\([^)]*\)", "", text).split(","):
        match = _GRES.fullmatch(part.strip())
        if match is not None:
            kind = match["type"] or UNTYPED
            counts[kind] = counts.get(kind, 0) + int(match["count"])
    return counts
