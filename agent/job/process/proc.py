"""The processes of this machine, as /proc shows them."""

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from agent.spec.conventions import TRACKING_VARIABLE


def list_descendants(root: int) -> list[int]:
    """The process ids of all descendants of `root`, zombies left out."""
    children: dict[int, list[int]] = {}
    for pid, parent, state in list_processes():
        if state not in "ZX":
            children.setdefault(parent, []).append(pid)
    found: list[int] = []
    pending = [root]
    while pending:
        offspring = children.get(pending.pop(), [])
        found += offspring
        pending += offspring
    return found


def list_marked(variable: str) -> list[int]:
    """The process ids of all that have `variable` (NAME=VALUE) in their environment: how offspring is known anywhere."""
    mark = variable.encode("utf-8", "surrogateescape")
    found: list[int] = []
    for pid, _parent, state in list_processes():
        if state in "ZX" or pid == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def list_named(name: str) -> list[int]:
    """The process ids of all whose first thread calls itself `name`; zombies left out."""
    wanted = f"{name}\n".encode()
    found: list[int] = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208 - names are all that is wanted
        with contextlib.suppress(OSError):
            if Path("/proc", pid, "comm").read_bytes() == wanted and is_alive(int(pid)):
                found.append(int(pid))
    return found


def age_seconds(pid: int) -> float:
    """How long `pid` has lived, but for the time that the machine slept; 0 when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0.0
    started = int(stat[stat.rindex(b")") + 2 :].split()[19]) / os.sysconf("SC_CLK_TCK")  # proc(5): field 22
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    asleep = since_boot - time.monotonic()
    return max(0.0, since_boot - started - asleep)


def wait_until_gone(pids: Iterable[int], seconds: float) -> bool:
    """Wait until none of `pids` (which need not be children) lives, at most `seconds`; whether that is so."""
    deadline = time.monotonic() + seconds
    for pid in pids:
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                return False
        finally:
            os.close(pidfd)
    return True


def kill_tracked(tracking_id: str) -> None:
    """SIGKILL every process of the job attempt with this tracking id, wherever it went."""
    signal_all(list_marked(f"{TRACKING_VARIABLE}={tracking_id}"), signal.SIGKILL)


def may_signal(pid: int) -> bool:
    """Whether `pid` is a process that this user may end."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def signal_all(pids: Iterable[int], number: int) -> None:
    """Send a signal to each of `pids` that is still there."""
    for pid in pids:
        _signal(pid, number)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def list_processes() -> Iterator[tuple[int, int, str]]:
    """(pid, parent, state letter) of every process on the machine."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is wanted
        if name.isdecimal():
            try:
                stat = Path("/proc", name, "stat").read_bytes()
            except OSError:
                continue
            state, parent, *_rest = stat[stat.rindex(b")") + 2 :].split(b" ", 2)
            yield int(name), int(parent), state.decode()


def is_alive(pid: int) -> bool:
    """Whether `pid` is a process that has not ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat[stat.rindex(b")") + 2 : stat.rindex(b")") + 3] not in (b"Z", b"X")


def session_of(pid: int) -> int:
    """The session that `pid` is in; -1 when there is no such process."""
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def list_written(pid: int) -> set[str]:
    """The files that the process has open for writing; of one that is not ours to look at, none."""
    found: set[str] = set()
    folder = f"/proc/{pid}"
    try:
        numbers = os.listdir(f"{folder}/fd")  # noqa: PTH208 - names alone
    except OSError:
        return found
    for number in numbers:
        with contextlib.suppress(OSError, ValueError):
            path = os.readlink(f"{folder}/fd/{number}")  # noqa: PTH115 - what it is called, no path of ours
            if path.startswith("/") and _is_open_for_writing(f"{folder}/fdinfo/{number}"):
                found.add(path)
    return found


def _is_open_for_writing(info: str) -> bool:
    with open(info, encoding="ascii") as lines:  # noqa: PTH123
        flags = next(line for line in lines if line.startswith("flags:"))
    return int(flags.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY
