"""Sentences on what a job left unused of its GPUs: rules over its samples, each with figures and what to do. Pure.

None of a job that was short: a minute of downloads before a minute of work is no waste.
"""

from collections.abc import Iterator, Mapping

from agent.job.sampling.use import MachineUse, mean_gpu_percent

_LEAST_SECONDS = 300
_MUCH_IDLE = 0.5  # of the time
_MUCH_SLOW = 0.25
_LITTLE_MEMORY = 0.25  # of a GPU's
_FULL_CORE = 85  # percent


def find_waste(use: MachineUse, memory_mib: Mapping[int, int], cores: int) -> list[str]:
    """What may interest whoever pays for the GPUs. `memory_mib`: what each slot's GPU has; `cores`: of the machine."""
    if use.seconds < _LEAST_SECONDS or not use.gpu_seconds:
        return []
    unused = [slot for slot in sorted(use.gpu_seconds) if use.gpu_idle[slot] == use.gpu_seconds[slot]]
    if unused and len(unused) < len(use.gpu_seconds):
        found = [_tell_unused(unused, use)]
    else:
        found = list(_find_idle(use, cores))
    return [*found, *_find_slow(use), *_find_small(use, memory_mib)]


def _tell_unused(slots: list[int], use: MachineUse) -> str:
    names = ", ".join(map(str, slots))
    return (
        f"{_gpu(names, len(slots))} {'was' if len(slots) == 1 else 'were'} never used, of {len(use.gpu_seconds)} that the job had: "
        f"ask for {len(use.gpu_seconds) - len(slots)}?"
    )


def _find_idle(use: MachineUse, cores: int) -> Iterator[str]:
    idle = {
        slot: use.gpu_idle[slot]
        for slot, seconds in use.gpu_seconds.items()
        if use.gpu_idle[slot] >= _MUCH_IDLE * seconds
    }
    if not idle:
        return
    slot = max(idle, key=lambda slot: idle[slot] / use.gpu_seconds[slot])
    names = ", ".join(map(str, sorted(idle)))
    what = f"{_gpu(names, len(idle))} idle {_part(idle[slot], use.gpu_seconds[slot])}"
    yield f"{what}{_explain_idle(use, cores)}"


def _explain_idle(use: MachineUse, cores: int) -> str:
    """What the job's CPU did meanwhile."""
    if not use.idle_seconds:
        return ""
    percent = use.idle_cpu_percent / use.idle_seconds
    if percent >= _FULL_CORE * cores:
        return f", all {cores} cores at {percent / cores:.0f} % meanwhile: less work per record, or prepared before?"
    if _FULL_CORE <= percent <= 130:
        return f", the loader's CPU at {percent:.0f} % of one core meanwhile: more workers?"
    if percent > 130:
        return f", the CPU at {percent:.0f} % of a core meanwhile ({cores} cores): more workers?"
    return f", the CPU at {percent:.0f} % of a core meanwhile: it waits for disk, network or a person?"


def _find_slow(use: MachineUse) -> Iterator[str]:
    for slot in sorted(use.gpu_slow):
        seconds = use.gpu_seconds.get(slot, 0)
        if seconds and use.gpu_slow[slot] >= _MUCH_SLOW * seconds:
            yield f"GPU {slot} was slowed down {_part(use.gpu_slow[slot], seconds)}: power or cooling? (`agent run metrics` says by what)"


def _find_small(use: MachineUse, memory_mib: Mapping[int, int]) -> Iterator[str]:
    """A GPU that is busy but whose memory is nearly empty may be shared, or the batches grow."""
    mean = mean_gpu_percent(use)
    if mean is None or mean >= 50 or len(use.gpu_seconds) != 1:
        return
    for slot, whole in memory_mib.items():
        peak = use.gpu_memory_mib.get(slot, 0)
        if whole and 0 < peak < _LITTLE_MEMORY * whole:
            yield f"GPU {slot} {mean:.0f} % busy with {peak / 1024:.1f} of {whole / 1024:.0f} GiB of its memory at most: larger batches, or a smaller GPU?"


def _gpu(names: str, count: int) -> str:
    return f"GPU {names}" if count == 1 else f"GPUs {names}"


def _part(seconds: int, whole: int) -> str:
    """`10 of 12 minutes`."""
    unit, name = (3600, "hours") if whole >= 7200 else (60, "minutes")
    digits = 1 if unit == 3600 else 0
    return f"{seconds / unit:.{digits}f} of {whole / unit:.{digits}f} {name}"
