"""The user that jobs run as, where that is not the agent's own: `--run-as`.

The agent needs two rights for it and uses them for nothing else: to become that user (CAP_SETUID) and to be in that user's
groups (CAP_SETGID). Root has them. So what is the job's is made, looked at, ended and removed by a process that has become the
job's user for good, and never by one that could do more: no link, no FIFO and no race that a job sets up can make the agent
do what the job itself may not.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from agent.errors import AgentError, RefusedError, UsageError

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_SETGID, _SETUID = 6, 7  # numbers of capabilities(7)
_NAMES = ("USER", "LOGNAME", "HOME")  # of the environment: who somebody is


class RunAsError(RefusedError):
    """Jobs can't run as the user that was named. Exit 2: starting again changes nothing, a person has to look."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine. `groups` are all that it is in."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    @property
    def environment(self) -> dict[str, str]:
        """What a login would say of who this is."""
        return dict(zip(_NAMES, (self.name, self.name, self.home), strict=True))


def find_account(name: str) -> Account:
    """The user that jobs are to run as. Raises UsageError when there is none, or it is one by which nothing is gained."""
    import pwd

    try:
        found = pwd.getpwnam(name)
    except KeyError:
        raise UsageError(
            f"there is no user '{name}'",
            where="run_as",
            hint=f"make one that jobs alone use: `useradd --system --user-group --shell /usr/sbin/nologin {name}`",
        ) from None
    if found.pw_uid in (0, os.geteuid()):
        whose = "root" if found.pw_uid == 0 else "the agent's own user"
        raise UsageError(f"'{name}' is {whose}", where="run_as", hint="name a user that jobs alone use")
    groups = tuple(os.getgrouplist(found.pw_name, found.pw_gid))
    return Account(found.pw_name, found.pw_uid, found.pw_gid, groups, found.pw_dir)


def require_power(account: Account) -> None:
    """Raises RunAsError unless this process may become `account`."""
    if {_SETGID, _SETUID} <= _effective_capabilities():
        return
    raise RunAsError(
        f"this agent may not run jobs as '{account.name}'",
        where="run_as",
        hint="start it as root, or as a service with AmbientCapabilities=CAP_SETUID CAP_SETGID",
    )


def join_group(account: Account) -> None:
    """Be in the group of `account` from now on, so that folders of ours can be given to that group."""
    os.setgroups(sorted({*os.getgroups(), account.gid}))


@contextlib.contextmanager
def acting_as(account: Account) -> Iterator[None]:
    """Make files and folders as `account` for a moment. Of the whole process: it has one thread."""
    user, group = os.geteuid(), os.getegid()
    os.setegid(account.gid)
    try:
        os.seteuid(account.uid)
        try:
            yield
        finally:
            os.seteuid(user)
    finally:
        os.setegid(group)


def become(account: Account) -> None:
    """Be `account` for good: no way leads back, no program that is started gains any right, and nobody may look inside.

    Raises AgentError when that is not possible; the process is then to end.
    """
    import ctypes  # before it is somebody who may not read where Python lies

    try:
        os.setgroups(account.groups)
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
        give_up_capabilities()
    except OSError as error:
        raise AgentError(f"this process can't become '{account.name}': {error.strerror}") from None
    if _effective_capabilities():
        raise AgentError(f"this process has become '{account.name}' and kept rights that are not that user's")
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    os.umask(0o022)
    os.environ.update(account.environment)


def give_up_capabilities() -> None:
    """Have no capability any more, nor any program that is started from here. Raises OSError."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    if libc.capset(header, none) or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _effective_capabilities() -> set[int]:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: the lower 32 of each, then the upper
    if libc.capget(header, data):
        return set()
    return {number for number in range(64) if data[3 * (number // 32)] >> number % 32 & 1}
