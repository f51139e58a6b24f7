"""The use that the processes of a job make of their machine, together: from its control group where it has one, else from /proc, process by process.

A walk over many processes costs time, so it is made as seldom as keeps its share of a core below `_SHARE`; a control group costs the same
however many there are.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.job.process.cgroup import JobGroup
from agent.job.process.proc import list_descendants

_SHARE = 0.0005  # of a core
_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_KEEPERS = (b"containerd-shim", b"conmon")  # one for each container
_INSIDE = (
    "lo",
    "veth",
    "docker",
    "br-",
    "virbr",
    "cni",
)  # bytes there are counted elsewhere, or leave nothing


@dataclass(frozen=True, slots=True)
class TreeUse:
    """All counters since the job began; memory and processes now. None: nobody counts."""

    cpu_seconds: float | None
    memory_bytes: int | None
    disk_read_bytes: int | None
    disk_written_bytes: int | None
    processes: int | None


class TreeMeter:
    """Looks at the offspring of process `root` (a supervisor, which does not count), or at its control group; and at containers, of whose first
    processes `list_containers` tells: these are the engine's children, not ours.
    """

    def __init__(
        self, group: JobGroup, root: int, list_containers: Callable[[], Sequence[int]] = tuple
    ) -> None:
        self._group = group
        self._root = root
        self._list_containers = list_containers
        self._keepers: dict[int, int] = {}
        self._disk: dict[int, tuple[int, int]] = {}
        self._gone_disk = [0, 0]
        self._walk_at = 0.0

    def read(self) -> TreeUse | None:
        """What they use now; None when it is not time to walk yet."""
        containers = [self._find_keeper(pid) for pid in self._list_containers() if pid]
        grouped = self._read_group()
        if grouped is None:
            return self._walk([self._root, *containers])
        if not containers:
            return grouped
        walked = self._walk(containers)
        return None if walked is None else _add(grouped, walked)

    def list_processes(self) -> frozenset[int]:
        """The ids of those that were there at the last look."""
        return frozenset((*self._group.list_members(), *self._disk))

    def _read_group(self) -> TreeUse | None:
        cpu_seconds, memory_bytes = self._group.count_cpu_seconds(), self._group.count_memory_bytes()
        if cpu_seconds is None or memory_bytes is None:
            return None
        read, written = self._group.count_disk_bytes() or (None, None)
        return TreeUse(cpu_seconds, memory_bytes, read, written, len(self._group.list_members()) - 1)

    def _find_keeper(self, pid: int) -> int:
        """Whose children are all processes of a container, also those that were started in it later."""
        if pid not in self._keepers:
            self._keepers[pid] = pid
            with suppress(OSError, ValueError, IndexError):
                parent = int(_stat(pid)[1])
                if _read(f"/proc/{parent}/comm").startswith(_KEEPERS):
                    self._keepers[pid] = parent
        return self._keepers[pid]

    def _walk(self, roots: Sequence[int]) -> TreeUse | None:
        began = time.thread_time()
        if time.monotonic() < self._walk_at:
            return None
        ticks = sum(map(_dead_ticks, roots))
        memory_bytes = processes = 0
        disk: dict[int, tuple[int, int]] = {}
        for pid in (pid for root in roots for pid in list_tree(root)):
            with suppress(OSError, ValueError, IndexError):
                fields = _stat(pid)
                ticks += sum(map(int, fields[11:15]))
                memory_bytes += int(fields[21]) * _PAGE_BYTES
                processes += 1
                disk[pid] = _disk_bytes(pid)
        self._count_disk(disk)
        read, written = (
            sum(figures[place] for figures in disk.values()) + self._gone_disk[place] for place in (0, 1)
        )
        self._walk_at = time.monotonic() + (time.thread_time() - began) / _SHARE
        return TreeUse(ticks * _TICK_SECONDS, memory_bytes, read, written, processes)

    def _count_disk(self, disk: dict[int, tuple[int, int]]) -> None:
        """What processes had done that are gone stays counted."""
        for pid, figures in self._disk.items():
            if pid not in disk:
                self._gone_disk[0] += figures[0]
                self._gone_disk[1] += figures[1]
        self._disk = disk


def _add(one: TreeUse, two: TreeUse) -> TreeUse:
    names = TreeUse.__slots__
    pairs = [(getattr(one, name), getattr(two, name)) for name in names]
    return TreeUse(*(None if None in pair else pair[0] + pair[1] for pair in pairs))


def list_tree(root: int) -> list[int]:
    """The descendants of `root`: by the kernel's lists of children where it has them, else by a look at all processes."""
    if not _HAS_CHILDREN:
        return list_descendants(root)
    found: list[int] = []
    pending = [root]
    while pending:
        children = list(_children(pending.pop()))
        found += children
        pending += children
    return found


def read_network() -> tuple[int, int] | None:
    """What the machine (or whatever has this process's network) has received and sent: Linux does not count by process."""
    received = sent = 0
    try:
        lines = Path("/proc/self/net/dev").read_text().splitlines()[2:]
        for line in lines:
            name, _, rest = line.partition(":")
            if not name.strip().startswith(_INSIDE):
                fields = rest.split()
                received += int(fields[0])
                sent += int(fields[8])
    except (OSError, ValueError, IndexError):
        return None
    return received, sent


def _children(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - names are all that is wanted
            with suppress(OSError):
                yield from map(int, _read(f"/proc/{pid}/task/{task}/children").split())


def _dead_ticks(root: int) -> int:
    """What children of `root` have computed that it has waited for."""
    try:
        fields = _stat(root)
    except (OSError, ValueError, IndexError):
        return 0
    return int(fields[13]) + int(fields[14])


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat behind the name; proc(5) counts them from 3 on."""
    text = _read(f"/proc/{pid}/stat")
    return text[text.rindex(b")") + 2 :].split()


def _disk_bytes(pid: int) -> tuple[int, int]:
    try:
        words = _read(f"/proc/{pid}/io").split()
    except OSError:  # another user's
        return 0, 0
    named = dict(zip(words[::2], words[1::2], strict=False))
    return int(named.get(b"read_bytes:", 0)), int(named.get(b"write_bytes:", 0))


def _read(path: str) -> bytes:
    """A file of /proc, without what a buffered reader costs."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(file, 1 << 16)
    finally:
        os.close(file)
    return data


_HAS_CHILDREN = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists()  # CONFIG_PROC_CHILDREN
