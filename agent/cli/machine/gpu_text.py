"""GPUs for people: each with its facts, and how they are connected, as `nvidia-smi topo -m` draws it."""

from collections.abc import Iterable, Iterator, Sequence

from agent.spec.resources import Gpu, GpuLink

_UNKNOWN = "n/a"


def describe_facts(gpu: Gpu) -> Iterator[str]:
    """What else is known of a GPU, in lines; what could not be read is n/a."""
    place = f"NUMA node {_text(gpu.numa_node)}, CPUs {_text(gpu.cpus)}"
    yield f"{_describe_pcie(gpu)}, {place}, power limit {_text(gpu.power_limit_watts, ' W')}"
    memory = f"{_text(gpu.remapped_rows)} rows remapped" + (
        ", one waits for a reset" if gpu.remap_pending else ""
    )
    if gpu.retired_pages:
        memory += f", {gpu.retired_pages} pages retired"
    yield f"ECC {_switch(gpu.ecc)}, {_text(gpu.ecc_uncorrected)} uncorrectable errors, {memory}"
    slowed = _UNKNOWN if gpu.throttling is None else ", ".join(gpu.throttling) or "no"
    yield f"persistence {_switch(gpu.persistence)}, slowed down: {slowed}"
    if gpu.withheld:
        yield f"withheld from jobs: {gpu.withheld}"


def draw_links(gpus: Iterable[Gpu], links: Sequence[GpuLink]) -> list[str]:
    """The matrix of connections between whole GPUs; nothing where no connection is known."""
    names = {gpu.mig_parent or gpu.uuid: f"GPU{gpu.index}" for gpu in gpus}
    if not links:
        return []
    kinds = {frozenset((link.first, link.second)): link.kind for link in links}
    width = max(len(word) for word in (*names.values(), *kinds.values())) + 2
    lines = ["".join(f"{word:<{width}}" for word in ("", *names.values()))]
    for first, name in names.items():
        words = [
            "X" if first == second else kinds.get(frozenset((first, second)), _UNKNOWN) for second in names
        ]
        lines.append("".join(f"{word:<{width}}" for word in (name, *words)))
    return [line.rstrip() for line in lines]


def _describe_pcie(gpu: Gpu) -> str:
    if gpu.pcie_generation is None and gpu.pcie_width is None:
        return f"PCIe {_UNKNOWN}"
    fewer = (
        gpu.pcie_width is not None
        and gpu.pcie_width_most is not None
        and gpu.pcie_width < gpu.pcie_width_most
    )
    lanes = f"x{_text(gpu.pcie_width)}" + (f" of x{gpu.pcie_width_most}" if fewer else "")
    return f"PCIe {_text(gpu.pcie_generation)} {lanes}"


def _text(value: float | str | None, unit: str = "") -> str:
    if value is None:
        return _UNKNOWN
    return f"{value:g}{unit}" if isinstance(value, float) else f"{value}{unit}"


def _switch(is_on: bool | None) -> str:  # noqa: FBT001 - a fact that is put into words
    return _UNKNOWN if is_on is None else "on" if is_on else "off"
