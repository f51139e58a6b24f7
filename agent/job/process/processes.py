"""Processes of a job: started in a session of their own, watched by pidfd, and gone with all their offspring.

The supervisor is a child subreaper, so that a daemon that forked twice is still found: it becomes our child when its
parent ends. asyncio's own subprocess is not used: on Python 3.11 it spends a thread on every process. Nor is `subprocess`: a
step costs a third less with posix_spawn, which begins in the working folder of this process; so that is the step's for the
moment of its start. Whoever starts a program on another thread names its folder.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from agent.errors import AgentError
from agent.job.process.pipes import OutputPipe, Sink
from agent.job.process.proc import (
    is_alive,
    list_descendants,
    list_marked,
    list_processes,
    list_written,
    session_of,
    signal_all,
)

_CLOCK_TICK_SECONDS = 0.02  # the clock of files lags behind
_OOM_SCORE = Path("/proc/self/oom_score_adj")
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(slots=True)
class InterruptionNotice:
    """Whether the job has to make place for another one: then its processes get SIGTERM and `grace_seconds` to write
    down how far they are. `torn` are the files that whoever was ended had open for writing.
    """

    grace_seconds: float = 0.0
    is_asked: bool = False
    torn: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Graces:
    """How long a process may take to end: after SIGINT, then after SIGTERM; SIGKILL follows."""

    interrupt_seconds: float = 7.5
    terminate_seconds: float = 2.5
    interruption: InterruptionNotice = field(
        default_factory=InterruptionNotice
    )  # known when it is to end, not before

    @property
    def gentle_signals(self) -> tuple[tuple[signal.Signals, float], ...]:
        """What is sent before SIGKILL, and for how long it is waited after each."""
        if self.interruption.is_asked:
            return ((signal.SIGTERM, self.interruption.grace_seconds),)
        return ((signal.SIGINT, self.interrupt_seconds), (signal.SIGTERM, self.terminate_seconds))


async def run_process(
    arguments: Sequence[str], *, cwd: str, env: Mapping[str, str], sink: Sink, graces: Graces, mark: str
) -> int:
    """Run a program to its end and return its exit code (128 + n when signal n ended it, as a shell says it).

    Standard input is closed; what it and its children print goes to `sink` as it comes, both streams in one order.
    When this task is cancelled, the whole tree is ended by SIGINT, SIGTERM, SIGKILL before the cancellation goes on;
    daemons that forked away from it are known by `mark`, a variable (NAME=VALUE) of `env` that is this process's alone.
    Raises AgentError when the program cannot be started.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        process = spawn(
            arguments,
            cwd=cwd,
            env=env,
            files=[
                (os.POSIX_SPAWN_DUP2, _nothing(), 0),
                (os.POSIX_SPAWN_DUP2, writing, 1),
                (os.POSIX_SPAWN_DUP2, writing, 2),
            ],
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    output = OutputPipe(reading, sink)
    pidfd = os.pidfd_open(process)
    try:
        code = await _wait_or_stop(process, pidfd, output, graces, mark)
    finally:
        os.close(pidfd)
        await output.drain()
    return code


def spawn(
    arguments: Sequence[str],
    *,
    cwd: str,
    env: Mapping[str, str],
    files: Sequence[tuple[int, int, int] | tuple[int, int, bytes, int, int]],
) -> int:
    """Start a program in a session of its own, with `files` (of posix_spawn) as its own: its process id, to be `collect`ed.

    Raises AgentError when it cannot be started.
    """
    program = arguments[0]
    here = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        os.chdir(cwd)
        try:
            process = os.posix_spawn(
                program,
                list(arguments),
                env,
                setsid=True,
                setsigdef=_IGNORED_BY_PYTHON,
                file_actions=files,  # every other file of ours is close-on-exec
            )
        finally:
            os.fchdir(here)
    except OSError as error:
        where = cwd if error.filename == cwd else program
        raise AgentError(f"cannot start '{program}': {error.strerror}", where=where) from None
    except ValueError as error:  # a NUL in an argument or a variable
        raise AgentError(f"cannot start '{program}': {error}") from None
    finally:
        os.close(here)
    _running.add(process)
    return process


def prepare_supervisor() -> None:
    """Make this process the reaper of all its descendants, and unreadable for them (no ptrace, no core)."""
    import ctypes

    _nothing.cache_clear()  # it was the parent's
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _give_up_protection()
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def end_with(parent: int) -> None:
    """Have SIGTERM sent to this process when `parent`, which started it, ends; at once when it has."""
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def _give_up_protection() -> None:
    """What keeps the daemon from being killed for memory (OOMScoreAdjust= of its unit) is not for jobs."""
    with contextlib.suppress(OSError, ValueError):
        if int(_OOM_SCORE.read_text()) < 0:
            _OOM_SCORE.write_text("0")


async def end_descendants(graces: Graces) -> int:
    """End everything that this process's children left behind, gently first. Returns how many there were."""
    if not _has_children():  # then there is nobody further down either: who loses a parent becomes our child
        return 0
    found = living = list_descendants(os.getpid())
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not living:
            break
        signal_all(living, number)
        await _gone_within(_list_own_descendants, graces.terminate_seconds)
        living = list_descendants(os.getpid())
    reap_orphans()
    return len(found)


def reap_orphans() -> None:
    """Collect zombies that were left to us. Children of our own session (git, pip) are somebody's to wait for."""
    own_session = os.getsid(0)
    with contextlib.suppress(ChildProcessError):
        while (status := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if status.si_pid in _running or session_of(status.si_pid) == own_session:
                return
            os.waitpid(status.si_pid, os.WNOHANG)


_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_running: set[int] = set()  # processes that `run_process` waits for


@cache
def _nothing() -> int:
    """An open /dev/null."""
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


async def _wait_or_stop(process: int, pidfd: int, output: OutputPipe, graces: Graces, mark: str) -> int:
    try:
        await readable(pidfd, output)
    except asyncio.CancelledError:
        await stop_tree(process, graces, mark)
        collect(process)
        raise
    return collect(process)


async def readable(file: int, output: OutputPipe | None = None) -> None:
    """Return when there is something to read: of a pidfd, when its process has ended.

    The end of our child's `output` tells as well, most often a moment earlier.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    loop.add_reader(file, _settle, ended)
    if output is not None:
        output.on_end = lambda: _settle(ended) if _has_ended(file) else None
    try:
        await ended
    finally:
        loop.remove_reader(file)
        if output is not None:
            output.on_end = None


def _has_ended(pidfd: int) -> bool:
    """Whether our child behind `pidfd` is no more than its exit code."""
    try:
        return os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # somebody has taken even that
        return True


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


async def stop_tree(
    process: int, graces: Graces, mark: str, *, first: signal.Signals = signal.SIGINT
) -> None:
    """SIGINT (or `first`) to the process's group, SIGTERM to its whole tree, SIGKILL to what then still lives."""
    tree = {process, *list_descendants(process), *list_marked(mark)}

    def living() -> list[int]:
        tree.update(_grow(tree), list_marked(mark))
        return [pid for pid in tree if is_alive(pid)]

    if graces.interruption.is_asked:
        await _interrupt(living, graces.interruption)
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, first)
    if await _gone_within(living, graces.interrupt_seconds):
        return
    signal_all(living(), signal.SIGTERM)
    if await _gone_within(living, graces.terminate_seconds):
        return
    while members := living():
        signal_all(members, signal.SIGKILL)
        await asyncio.gather(*map(_gone, members))


async def _interrupt(living: Callable[[], list[int]], interruption: InterruptionNotice) -> None:
    """SIGTERM to all of the tree and the job's own grace, then SIGKILL.

    They are stopped while it is noted which files they write: of who dies of the signal, these are torn.
    """
    members = living()
    writing = _stop_and_note(members)
    began = time.time()
    signal_all(members, signal.SIGTERM)
    signal_all(members, signal.SIGCONT)
    has_gone = await _gone_within(living, interruption.grace_seconds)
    # Who lived on has closed them, and written them anew.
    interruption.torn |= {path for path in writing if not _is_changed_since(path, began)}
    while not has_gone and (members := living()):
        interruption.torn |= _stop_and_note(members)
        signal_all(members, signal.SIGKILL)
        await asyncio.gather(*map(_gone, members))


def _stop_and_note(members: list[int]) -> set[str]:
    signal_all(members, signal.SIGSTOP)
    return {path for pid in members for path in list_written(pid)}


def _is_changed_since(path: str, began: float) -> bool:
    try:
        return Path(path).stat().st_mtime > began + _CLOCK_TICK_SECONDS
    except OSError:
        return True


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
        await readable(pidfd)
    finally:
        os.close(pidfd)


def _grow(tree: set[int]) -> set[int]:
    """Descendants, and whoever stayed in a session that a member of `tree` leads or led: orphans keep it."""
    members = set[int]()
    for pid, parent, state in list_processes():
        if state not in "ZX" and (parent in tree or session_of(pid) in tree):
            members.add(pid)
    return members


def collect(process: int) -> int:
    """The exit code of a process that has ended, 128 + n when signal n ended it."""
    _running.discard(process)
    try:
        _pid, status = os.waitpid(process, 0)
    except ChildProcessError:  # somebody else was faster: the code is lost
        return 255
    asyncio.get_running_loop().call_soon(reap_orphans)  # nobody waits for them
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _has_children() -> bool:
    """Whether this process has a child, be it one that has ended and waits to be collected."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _list_own_descendants() -> list[int]:
    return list_descendants(os.getpid())
