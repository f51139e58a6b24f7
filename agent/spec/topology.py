"""Topology: which of a machine's GPUs are taken together, by how they are connected.

`Links` ranks pairs of UUIDs: the smaller, the nearer (NVLink before one PCIe switch before one socket). A pair that is not named is
farther than all that are. Pure, and small: machines have some eight or sixteen GPUs.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations

from agent.spec.resources import Gpu, GpuLink

Links = Mapping[frozenset[str], int]

_FARTHEST = 1 << 20
_MOST_TRIED = 20_000  # sets that are compared: all of 8 among 16; beyond, sets are grown instead


def rank_links(links: Iterable[GpuLink]) -> Links:
    """An inventory's links as ranks of pairs."""
    return {frozenset((link.first, link.second)): -link.closeness for link in links if link.closeness}


def choose_connected(gpus: Collection[Gpu], count: int, links: Links) -> tuple[str, ...]:
    """`count` of `gpus`: those that are connected best, then the smallest; all of them where there are not more.

    What counts is the slowest connection of a set (all wait for it), then all of them together. One GPU alone is the smallest, and
    of several of its size the one whose neighbours are in use: pairs stay whole for who needs two.
    """
    ordered = sorted(gpus, key=lambda gpu: (gpu.memory_bytes or 0, gpu.index, gpu.uuid))
    names = [gpu.uuid for gpu in ordered]
    known = {pair for pair in links if pair <= set(names)}
    if len(names) <= count or not known or count < 1:
        return tuple(names[: max(count, 0)])
    if count == 1:
        sizes = {gpu.uuid: gpu.memory_bytes or 0 for gpu in ordered}
        return (min(names, key=lambda name: (sizes[name], _loneliness(name, names, links))),)
    if math.comb(len(names), count) <= _MOST_TRIED:
        return min(combinations(names, count), key=lambda chosen: _distance(chosen, links))
    return min(
        (_grow(first, names, count, links) for first in names), key=lambda chosen: _distance(chosen, links)
    )


def _loneliness(name: str, names: Sequence[str], links: Links) -> tuple[int, ...]:
    """Sorts first whose nearest neighbour is farthest."""
    return tuple(-rank for rank in sorted(_rank(name, other, links) for other in names if other != name))


def _distance(chosen: Sequence[str], links: Links) -> tuple[int, int]:
    ranks = [_rank(one, other, links) for one, other in combinations(chosen, 2)]
    return max(ranks), sum(ranks)


def _grow(first: str, names: Sequence[str], count: int, links: Links) -> tuple[str, ...]:
    chosen = [first]
    while len(chosen) < count:
        left = [name for name in names if name not in chosen]
        chosen.append(min(left, key=lambda name: max(_rank(name, other, links) for other in chosen)))
    return tuple(sorted(chosen, key=names.index))


def _rank(one: str, other: str, links: Links) -> int:
    return links.get(frozenset((one, other)), _FARTHEST)
