"""The memory: how much is ours, and how much is in use."""

from agent.machine.probes.cgroup import limit_memory


def measure_memory_bytes() -> int:
    """Bytes of memory that jobs may use: the machine's, or our control group's limit when that is lower."""
    import psutil

    total = int(psutil.virtual_memory().total)
    return min(total, limit_memory() or total)


def measure_memory_used_bytes() -> int:
    """Bytes of the machine's memory that are not available to a new process (page cache is available)."""
    import psutil

    memory = psutil.virtual_memory()
    return int(memory.total) - int(memory.available)
