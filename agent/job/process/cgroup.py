"""A job's own control group: all its processes, wherever they went and whatever they did to their environment.

Where systemd lets the agent make groups (`Delegate=` in its unit) each job gets one below `jobs/`; its supervisor moves into
it before the first step, and everything that is started inherits it. Elsewhere there is none, and the processes of a job are found by
TRACKING_VARIABLE (agent.job.process.proc). Memory is counted where the agent itself is in a group of its own beside `jobs/`
(`DelegateSubgroup=`): the kernel gives controllers to groups only that hold no process themselves.

Source: the kernel's Documentation/admin-guide/cgroup-v2.rst; systemd.resource-control(5), Delegate=.
"""

import contextlib
import os
import signal
from pathlib import Path

from agent.errors import DamagedError
from agent.job.folder.attempt import JobFolder
from agent.job.process.proc import signal_all

AGENT = "agent"  # what DelegateSubgroup= of the unit says
_JOBS = "jobs"
_CONTROLLERS = ("memory", "pids", "io")


class JobGroup:
    """The group of one job attempt. `folder` is None where there is none: then nothing is known and nothing is done."""

    def __init__(self, root: Path | None, tracking_id: str) -> None:
        self.root = root
        self._folder = None if root is None else root / tracking_id

    def enter(self) -> None:
        """Make the group and move this process into it; where that is not possible there is no group."""
        if self._folder is None:
            return
        try:
            self._folder.mkdir(exist_ok=True)
            (self._folder / "cgroup.procs").write_text(str(os.getpid()))
        except OSError:
            self._folder = None

    def list_members(self) -> list[int]:
        """The ids of all processes in it that have not ended."""
        return [int(line) for line in self._read("cgroup.procs").split()]

    def kill(self) -> None:
        """SIGKILL all of its processes, but for this one."""
        members = self.list_members()
        if members and (os.getpid() in members or not self._kill_all()):
            signal_all([pid for pid in members if pid != os.getpid()], signal.SIGKILL)

    def remove(self) -> None:
        """Forget the group: nobody is in it any more."""
        if self._folder is not None:
            with contextlib.suppress(OSError):  # gone, or somebody is still ending
                self._folder.rmdir()

    def count_oom_kills(self) -> int:
        """How many of its processes the kernel has killed for memory; 0 where it does not say."""
        return self._lookup("memory.events", "oom_kill") or 0

    def peak_bytes(self) -> int:
        """The most memory that its processes had together; 0 where nobody counts."""
        text = self._read("memory.peak").strip()
        return int(text) if text.isdecimal() else 0

    def count_cpu_seconds(self) -> float | None:
        """What its processes, also those that have ended, have computed; None where there is no group."""
        found = self._lookup("cpu.stat", "usage_usec")
        return None if found is None else found / 1e6

    def count_memory_bytes(self) -> int | None:
        """The memory that its processes have, without files that could be read again; None where nobody counts."""
        text = self._read("memory.current").strip()
        if not text.isdecimal():
            return None
        return max(int(text) - (self._lookup("memory.stat", "inactive_file") or 0), 0)

    def count_disk_bytes(self) -> tuple[int, int] | None:
        """What it has read from disks and written there; None where nobody counts."""
        if self._folder is None or not (self._folder / "io.stat").exists():
            return None
        read = written = 0
        for line in self._read("io.stat").splitlines():
            for word in line.split()[1:]:
                name, _, value = word.partition("=")
                read += int(value) if name == "rbytes" else 0
                written += int(value) if name == "wbytes" else 0
        return read, written

    def _lookup(self, file: str, name: str) -> int | None:
        """A line `name number` of a file of the group."""
        for line in self._read(file).splitlines():
            key, _, value = line.partition(" ")
            if key == name and value.isdecimal():
                return int(value)
        return None

    def _kill_all(self) -> bool:
        assert self._folder is not None
        try:
            (self._folder / "cgroup.kill").write_text("1")
        except OSError:  # a kernel before 5.14
            return False
        return True

    def _read(self, name: str) -> str:
        if self._folder is None:
            return ""
        try:
            return (self._folder / name).read_text()
        except OSError:
            return ""


def group_of(folder: JobFolder) -> JobGroup:
    """The group of an attempt, as its settings say; none when they can't be read."""
    with contextlib.suppress(DamagedError):
        return JobGroup(folder.read_settings().job_groups, folder.tracking_id)
    return JobGroup(None, "")


def find_job_groups() -> Path | None:
    """The group below which this process may make groups for jobs; None where nobody lets it."""
    own = _own_group()
    if own is None:
        return None
    has_subgroup = own.name == AGENT
    delegated = own.parent if has_subgroup else own
    if not os.access(delegated / "cgroup.procs", os.W_OK):
        return None
    jobs = delegated / _JOBS
    try:
        jobs.mkdir(exist_ok=True)
    except OSError:
        return None
    for left in jobs.iterdir():  # of jobs that an earlier daemon had; those with a process in them stay
        with contextlib.suppress(OSError):
            left.rmdir()
    if has_subgroup:
        for folder in (delegated, jobs):
            for controller in _CONTROLLERS:
                with contextlib.suppress(OSError):  # one that this system does not give us
                    (folder / "cgroup.subtree_control").write_text(f"+{controller}")
    return jobs


def _own_group() -> Path | None:
    """This process's group; None for the root, which is everybody's, and where there is no second version of groups."""
    with contextlib.suppress(OSError):
        entry = next(
            line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")
        )
        path = entry.removeprefix("0::").strip("/")
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            left, _, right = line.partition(" - ")
            if right.startswith("cgroup2 ") and path:
                return Path(left.split()[4], path)
    return None
