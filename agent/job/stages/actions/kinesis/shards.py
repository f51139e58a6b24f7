"""Shards of a stream: those that may be read now, and how many of them a copy takes. Pure.

unread --parents ended--> readable --taken--> read --end, all settled--> ended
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard of a stream, as it is listed."""

    name: str
    parents: tuple[str, ...] = ()  # one after a split, two after a merge
    is_closed: bool = False  # nothing is written to it any more


def read_listing(pages: Iterable[Mapping[str, Any]]) -> dict[str, Shard]:
    """The shards of ListShards' pages. A closed one is known by its last sequence number."""
    shards = {}
    for page in pages:
        for each in page.get("Shards", ()):
            parents = (each.get("ParentShardId"), each.get("AdjacentParentShardId"))
            closed = each.get("SequenceNumberRange", {}).get("EndingSequenceNumber") is not None
            name = str(each["ShardId"])
            shards[name] = Shard(name, tuple(str(one) for one in parents if one), closed)
    return shards


def find_readable(shards: Mapping[str, Shard], ended: Collection[str]) -> Sequence[str]:
    """Shards that may be read now: not ended, and each parent has ended, or is not kept any more. Oldest first."""
    return [
        shard.name
        for shard in sorted(shards.values(), key=lambda one: one.name)
        if shard.name not in ended and all(one in ended or one not in shards for one in shard.parents)
    ]


def fair_share(readable: int, copies: int) -> int:
    """How many shards a copy reads at most: as many as every other, rounded up."""
    return -(-readable // max(copies, 1))
