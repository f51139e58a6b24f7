"""Which GPUs are taken together."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from agent.spec.resources import Gpu, GpuLink
from agent.spec.topology import Links, choose_connected, rank_links

GB = 10**9


def gpus(count: int, memory_bytes: int = 80 * GB) -> list[Gpu]:
    return [Gpu(n, f"GPU-{n}", "NVIDIA H100", memory_bytes=memory_bytes) for n in range(count)]


def link(ranks: dict[tuple[int, int], int]) -> Links:
    return {frozenset((f"GPU-{one}", f"GPU-{other}")): rank for (one, other), rank in ranks.items()}


PAIRS = link({(0, 2): 0, (1, 3): 0, (0, 1): 3, (2, 3): 3, (0, 3): 4, (1, 2): 4})


def test_two_that_are_connected_are_taken_together() -> None:
    assert choose_connected(gpus(4), 2, PAIRS) == ("GPU-0", "GPU-2")
    assert choose_connected(gpus(4)[1:], 2, PAIRS) == ("GPU-1", "GPU-3")


def test_one_is_taken_whose_neighbour_is_in_use() -> None:
    assert choose_connected(gpus(4)[1:], 1, PAIRS) == ("GPU-2",), "1 and 3 stay a pair"
    small = Gpu(3, "GPU-3", "NVIDIA A10", memory_bytes=24 * GB)
    assert choose_connected([*gpus(3), small], 1, PAIRS) == ("GPU-3",), "the smallest all the same"


def test_the_slowest_connection_of_a_set_is_what_counts() -> None:
    links = link({(0, 1): 0, (0, 2): 0, (1, 2): 5, (1, 3): 1, (2, 3): 1, (0, 3): 1})
    assert choose_connected(gpus(4), 3, links) == ("GPU-0", "GPU-1", "GPU-3")


def test_links_of_an_inventory_are_ranked_nvlink_before_pcie() -> None:
    kinds = {(0, 1): "SYS", (0, 2): "PIX", (0, 3): "NV2", (1, 2): "NV12", (2, 3): "?"}
    ranks = rank_links(GpuLink(f"GPU-{a}", f"GPU-{b}", kind) for (a, b), kind in kinds.items())
    assert sorted(ranks, key=lambda pair: ranks[pair]) == [
        frozenset((f"GPU-{a}", f"GPU-{b}")) for a, b in ((1, 2), (0, 3), (0, 2), (0, 1))
    ]
    assert choose_connected(gpus(4), 2, ranks) == ("GPU-1", "GPU-2")


def test_where_nothing_is_known_the_smallest_are_taken() -> None:
    mixed = [*gpus(2), Gpu(2, "GPU-2", "NVIDIA A10", memory_bytes=24 * GB), Gpu(3, "GPU-3", "?")]
    assert choose_connected(mixed, 3, {}) == ("GPU-3", "GPU-2", "GPU-0")
    assert choose_connected(mixed, 9, PAIRS) == ("GPU-3", "GPU-2", "GPU-0", "GPU-1")
    assert choose_connected(mixed, 0, PAIRS) == ()
    assert choose_connected([], 1, PAIRS) == ()


def test_of_very_many_a_well_connected_set_is_grown() -> None:
    """Five boards of eight: too many sets to compare."""
    near = {pair: 0 for start in range(0, 40, 8) for pair in combinations(range(start, start + 8), 2)}
    chosen = choose_connected(gpus(40)[4:], 8, link(near))
    assert chosen == tuple(f"GPU-{n}" for n in range(8, 16))


@given(
    st.integers(1, 6),
    st.integers(0, 7),
    st.dictionaries(
        st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda p: p[0] < p[1]), st.integers(0, 5)
    ),
)
def test_as_many_as_wanted_each_once_and_none_better(
    there: int, count: int, ranks: dict[tuple[int, int], int]
) -> None:
    links = link(ranks)
    names = [gpu.uuid for gpu in gpus(there)]
    chosen = choose_connected(gpus(there), count, links)
    assert len(chosen) == min(there, count) == len(set(chosen))
    assert set(chosen) <= set(names)

    def slowest(some: tuple[str, ...]) -> int:
        return max(links.get(frozenset(pair), 99) for pair in combinations(some, 2))

    if 2 <= count <= there:
        assert slowest(chosen) == min(map(slowest, combinations(names, count)))
