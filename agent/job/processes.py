"""Processes of a job: started in a session of their own, watched by pidfd, and gone with all their offspring.

The supervisor is a child subreaper, so that a daemon that forked twice is still found: it becomes our child when its
parent ends. asyncio's own subprocess is not used: on Python 3.11 it spends a thread on every process.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from agent.errors import AgentError

Sink = Callable[[bytes], None]

_PIPE_BYTES = 1 << 20
_PACE_SECONDS = 0.005  # between two reads of a busy pipe: let it fill, so that the cost is per chunk
_DRAIN_SECONDS = (
    5.0  # how long output may trickle in after the process ended, from children that it left (as GitHub)
)
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Graces:
    """How long a process may take to end: after SIGINT, then after SIGTERM; SIGKILL follows."""

    interrupt_seconds: float = 7.5
    terminate_seconds: float = 2.5


async def run_process(
    arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], sink: Sink, graces: Graces
) -> int:
    """Run a program to its end and return its exit code (128 + n when signal n ended it, as a shell says it).

    Standard input is closed; what it and its children print goes to `sink` as it comes, both streams in one order.
    When this task is cancelled, the whole tree is ended by SIGINT, SIGTERM, SIGKILL before the cancellation goes on.
    Raises AgentError when the program cannot be started.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        process = _start(arguments, cwd, env, writing)
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    output = _Output(reading, sink)
    pidfd = os.pidfd_open(process)
    try:
        code = await _wait_or_stop(process, pidfd, graces)
    finally:
        os.close(pidfd)
        await output.drain()
    return code


def prepare_supervisor() -> None:
    """Make this process the reaper of all its descendants, and unreadable for them (no ptrace, no core)."""
    import ctypes

    _nothing.cache_clear()  # it was the parent's
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


async def end_descendants(graces: Graces) -> int:
    """End everything that this process's children left behind, gently first. Returns how many there were."""
    found = list_descendants(os.getpid())
    for number in (signal.SIGTERM, signal.SIGKILL):
        living = list_descendants(os.getpid())
        if not living:
            break
        _signal_all(living, number)
        await _gone_within(_list_own_descendants, graces.terminate_seconds)
    reap_orphans()
    return len(found)


def list_descendants(root: int) -> list[int]:
    """The process ids of all descendants of `root`, zombies left out."""
    children: dict[int, list[int]] = {}
    for pid, parent, state in _list_processes():
        if state not in "ZX":
            children.setdefault(parent, []).append(pid)
    found: list[int] = []
    pending = [root]
    while pending:
        offspring = children.get(pending.pop(), [])
        found += offspring
        pending += offspring
    return found


def kill_tracked(tracking_id: str) -> int:
    """SIGKILL every process with RUNNER_TRACKING_ID=`tracking_id` in its environment. Returns how many there were."""
    mark = f"RUNNER_TRACKING_ID={tracking_id}".encode()
    killed = 0
    for pid, _parent, state in _list_processes():
        if state in "ZX" or pid == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                _signal(pid, signal.SIGKILL)
                killed += 1
    return killed


def reap_orphans() -> None:
    """Collect zombies that were left to us. Children of our own session (git, pip) are somebody's to wait for."""
    own_session = os.getsid(0)
    with contextlib.suppress(ChildProcessError):
        while (status := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if status.si_pid in _running or _session_of(status.si_pid) == own_session:
                return
            os.waitpid(status.si_pid, os.WNOHANG)


_running: set[int] = set()  # processes that `run_process` waits for


def _start(arguments: Sequence[str], cwd: Path, env: Mapping[str, str], output: int) -> int:
    try:
        process = subprocess.Popen(
            list(arguments),
            cwd=cwd,
            env=env,
            stdin=_nothing(),
            stdout=output,
            stderr=output,
            start_new_session=True,
            close_fds=False,  # every file of ours is close-on-exec
        )
    except OSError as error:
        missing = error.filename or arguments[0]
        raise AgentError(f"cannot start '{arguments[0]}': {error.strerror}", where=str(missing)) from None
    except ValueError as error:  # a NUL in an argument or a variable
        raise AgentError(f"cannot start '{arguments[0]}': {error}") from None
    process.returncode = 0  # we wait for it ourselves; keeps Popen's destructor from doing so
    _running.add(process.pid)
    return process.pid


@cache
def _nothing() -> int:
    """An open /dev/null."""
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


async def _wait_or_stop(process: int, pidfd: int, graces: Graces) -> int:
    try:
        await _readable(pidfd)
    except asyncio.CancelledError:
        await _stop_tree(process, graces)
        _collect(process)
        raise
    return _collect(process)


async def _readable(pidfd: int) -> None:
    """Return when the process behind `pidfd` has ended."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    loop.add_reader(pidfd, _settle, ended)
    try:
        await ended
    finally:
        loop.remove_reader(pidfd)


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


async def _stop_tree(process: int, graces: Graces) -> None:
    """SIGINT to the process's group, SIGTERM to its whole tree, SIGKILL to what then still lives."""
    tree = {process, *list_descendants(process)}

    def living() -> list[int]:
        tree.update(_grow(tree))
        return [pid for pid in tree if _is_alive(pid)]

    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGINT)
    if await _gone_within(living, graces.interrupt_seconds):
        return
    _signal_all(living(), signal.SIGTERM)
    if await _gone_within(living, graces.terminate_seconds):
        return
    while members := living():
        _signal_all(members, signal.SIGKILL)
        await asyncio.gather(*map(_gone, members))


async def _gone_within(living: Callable[[], list[int]], seconds: float) -> bool:
    """Whether `living` comes to name nobody within `seconds`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while members := living():
                await asyncio.gather(*map(_gone, members))
            return True
    return False


async def _gone(pid: int) -> None:
    """Return when the process `pid`, which need not be a child, has ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await _readable(pidfd)
    finally:
        os.close(pidfd)


def _grow(tree: set[int]) -> set[int]:
    """Descendants, and whoever stayed in a session that a member of `tree` leads or led: orphans keep it."""
    members = set[int]()
    for pid, parent, state in _list_processes():
        if state not in "ZX" and (parent in tree or _session_of(pid) in tree):
            members.add(pid)
    return members


def _collect(process: int) -> int:
    _running.discard(process)
    try:
        _pid, status = os.waitpid(process, 0)
    except ChildProcessError:  # somebody else was faster: the code is lost
        return 255
    reap_orphans()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


class _Output:
    """Reads a pipe into a sink. A busy pipe is left to fill for a moment between two reads."""

    def __init__(self, file: int, sink: Sink) -> None:
        self._file = file
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(file, False)
        with contextlib.suppress(OSError):  # a user near the limit of pipe memory gets the usual 64 KiB
            fcntl.fcntl(file, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._loop.add_reader(file, self._read)

    async def drain(self) -> None:
        """Read what is left, waiting a little for children that still write.

        What outlives that may go on writing: it is read, so that nobody blocks or dies of a broken pipe, and dropped.
        """
        self._resume()
        while not self._ended.done() and self._read_once():
            pass
        if not self._ended.done():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_SECONDS):
                    await asyncio.shield(self._ended)
        self._sink = _drop

    def _read(self) -> None:
        count = self._read_once()
        if 0 < count < _PIPE_BYTES // 2 and not self._ended.done():
            self._loop.remove_reader(self._file)
            self._pause = self._loop.call_later(_PACE_SECONDS, self._resume)

    def _read_once(self) -> int:
        """Read one chunk; 0 when there is none just now or none will come."""
        try:
            data = os.read(self._file, _PIPE_BYTES)
        except BlockingIOError:
            return 0
        if data:
            self._sink(data)
        else:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            _settle(self._ended)
        return len(data)

    def _resume(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if not self._ended.done():
            self._loop.add_reader(self._file, self._read)


def _drop(_data: bytes) -> None:
    """Nobody listens any more."""


def _list_own_descendants() -> list[int]:
    return list_descendants(os.getpid())


def _list_processes() -> Iterator[tuple[int, int, str]]:
    """(pid, parent, state letter) of every process on the machine."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is wanted
        if name.isdecimal():
            try:
                stat = Path("/proc", name, "stat").read_bytes()
            except OSError:
                continue
            state, parent, *_rest = stat[stat.rindex(b")") + 2 :].split(b" ", 2)
            yield int(name), int(parent), state.decode()


def _is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat[stat.rindex(b")") + 2 : stat.rindex(b")") + 3] not in (b"Z", b"X")


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def _signal_all(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        _signal(pid, number)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
