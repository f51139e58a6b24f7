"""The share of the machine that our own control group leaves us (cgroup v2).

An agent in a container or under a systemd slice must not offer cores and memory that the kernel will not give it.
"""

import math
from collections.abc import Iterator
from pathlib import Path

_MEMBERSHIP = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")


def limit_cpus(mount: Path = _MOUNT, membership: Path = _MEMBERSHIP) -> int | None:
    """How many cores our quota amounts to, rounded up; None when there is no quota."""
    shares: list[int] = []
    for text in _read_limits("cpu.max", mount, membership):
        quota, _, period = text.partition(" ")
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            shares.append(max(1, math.ceil(int(quota) / int(period))))
    return min(shares, default=None)


def limit_memory(mount: Path = _MOUNT, membership: Path = _MEMBERSHIP) -> int | None:
    """How many bytes of memory we may use; None when there is no limit."""
    texts = _read_limits("memory.max", mount, membership)
    return min((int(text) for text in texts if text.isdigit()), default=None)


def _read_limits(name: str, mount: Path, membership: Path) -> Iterator[str]:
    """The file `name` of our group and of each group around it: the smallest one binds."""
    for group in _list_groups(mount, membership):
        try:
            yield (group / name).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue  # not in this group: the root has none, nor has a group without the controller


def _list_groups(mount: Path, membership: Path) -> Iterator[Path]:
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        lines = []
    ours = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    group = mount / ours
    while group != mount and mount in group.parents:
        yield group
        group = group.parent
    yield mount
