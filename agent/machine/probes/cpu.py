"""The processor: its model, how many cores are ours, and how busy it was."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from agent.machine.probes.cgroup import limit_cpus


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Seconds that all cores together have spent since the machine started."""

    busy: float
    total: float


def find_cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's product name, or its architecture where the kernel tells no name (as on many ARM boxes)."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"model name", "Model", "cpu model"} and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()


def count_cpus() -> int:
    """Cores that this process may use: the machine's, less what affinity and the control group take away."""
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(ours, limit_cpus() or ours)


def read_cpu_time() -> CpuTime:
    """The counters now; two readings make a percentage (`compute_cpu_percent`)."""
    import psutil

    times = psutil.cpu_times()
    # Linux counts a guest's time in `user` and `nice` too, so these fields would count twice.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return CpuTime(busy=total - times.idle - getattr(times, "iowait", 0.0), total=total)


def compute_cpu_percent(before: CpuTime, after: CpuTime) -> float | None:
    """How busy all cores were between two readings, 0 to 100; None when no tick has passed."""
    passed = after.total - before.total
    if passed <= 0:
        return None
    # Idle and iowait may run backwards by a tick (proc(5)); a percentage must not.
    return min(100.0, max(0.0, 100.0 * (after.busy - before.busy) / passed))
