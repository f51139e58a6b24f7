"""The end of an attempt by force: its supervisor and all that it started, whatever they do, and whatever was done to the folder.

A supervisor is known by the name that it gives itself (`/proc/PID/comm`): nobody else can take that from it, and no file
can be swapped for it. Its offspring is known by its descent as long as it lives, by TRACKING_VARIABLE, and by the control
group. It is stopped while they are killed, so that it starts nothing more, and goes last.

Where jobs run as a user of their own, that user ends them: the agent has no right to.
"""

import contextlib
import os
import signal
import time
import zlib
from pathlib import Path

from agent.errors import AgentError, DamagedError
from agent.job.account.account import Account
from agent.job.account.errand import run_errand
from agent.job.folder.attempt import JobFolder
from agent.job.process.cgroup import JobGroup, group_of
from agent.job.process.proc import (
    list_descendants,
    list_marked,
    list_named,
    may_signal,
    signal_all,
    wait_until_gone,
)
from agent.spec.conventions import TRACKING_VARIABLE

PATIENCE_SECONDS = 30.0  # until those that a SIGKILL does not end (they wait for a device) are told of
_LOOK_SECONDS = 0.5


def name_supervisor(folder: JobFolder) -> str:
    """The name of the process that is the supervisor of `folder`: at most the 15 bytes that Linux keeps."""
    path = os.fsencode(os.path.abspath(folder.path))  # noqa: PTH100 - links stay as they are
    return f"job-{zlib.crc32(path):08x}{zlib.adler32(path) & 0xFFF:03x}"


def take_name(folder: JobFolder) -> None:
    """Be known as the supervisor of `folder`."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_bytes(name_supervisor(folder).encode())


def find_supervisors(folder: JobFolder) -> list[int]:
    """The process ids of the supervisors of `folder` that live: one at most, but for a process that one is just starting."""
    return list_named(name_supervisor(folder))


def tell_to_end(folder: JobFolder) -> bool:
    """SIGTERM to the supervisor, which cancels its job then; one that was stopped goes on. False when none lives."""
    told = tell_own(folder)
    account = account_of(folder)
    if account is not None:
        told += int(run_errand(account, "tell", str(folder.path)))
    return told > 0


def tell_own(folder: JobFolder) -> int:
    """The same, where the supervisor is this user's: how many there are."""
    supervisors = _find_own_supervisors(folder)
    for number in (signal.SIGTERM, signal.SIGCONT):
        signal_all(supervisors, number)
    return len(supervisors)


def end_attempt(
    folder: JobFolder,
    *,
    group: JobGroup | None = None,
    account: Account | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> None:
    """SIGKILL all processes of the attempt, and return when none lives.

    `group` is its control group and `account` the user that it runs as, where the folder can't say. Raises AgentError naming those that would not end in time.
    """
    group = group or group_of(folder)
    account = account_of(folder) or account
    if account is not None:
        run_errand(account, "end", str(folder.path), str(group.root or ""))
    end_own(folder, group, patience_seconds)
    if account is not None:
        group.kill()  # whoever is neither's: it asks for no right on processes


def end_own(folder: JobFolder, group: JobGroup, patience_seconds: float = PATIENCE_SECONDS) -> None:
    """The same for those that this user may end. Raises AgentError."""
    deadline = time.monotonic() + patience_seconds
    supervisors = _find_own_supervisors(folder)
    signal_all(supervisors, signal.SIGSTOP)
    while members := _list_offspring(folder, supervisors, group):
        signal_all(members, signal.SIGKILL)
        wait_until_gone(members, min(_LOOK_SECONDS, max(0.0, deadline - time.monotonic())))
        if time.monotonic() >= deadline:
            raise _unkillable(folder, members)
    signal_all(supervisors, signal.SIGKILL)
    if not wait_until_gone(supervisors, max(_LOOK_SECONDS, deadline - time.monotonic())):
        raise _unkillable(folder, set(supervisors))


def account_of(folder: JobFolder) -> Account | None:
    """The user that the job runs as; None where that is ours, or the folder can't say. Raises UsageError when there is none any more."""
    with contextlib.suppress(DamagedError):
        return folder.read_settings().account
    return None


def _find_own_supervisors(folder: JobFolder) -> list[int]:
    return [pid for pid in find_supervisors(folder) if may_signal(pid)]


def _list_offspring(folder: JobFolder, supervisors: list[int], group: JobGroup) -> set[int]:
    found = {*list_marked(f"{TRACKING_VARIABLE}={folder.tracking_id}"), *group.list_members()}
    for supervisor in supervisors:
        found.update(list_descendants(supervisor))
    return {pid for pid in found - {*supervisors, os.getpid()} if may_signal(pid)}


def _unkillable(folder: JobFolder, members: set[int]) -> AgentError:
    names = ", ".join(map(str, sorted(members)[:5]))
    return AgentError(
        f"processes of the job do not end, not even by SIGKILL: {names}",
        where=str(folder.path),
        hint="they wait for a device (state D in `ps`): look at the kernel's log, or restart the machine",
    )
