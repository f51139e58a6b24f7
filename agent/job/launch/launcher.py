"""The front door of a job: make its folder, start its supervisor, ask, cancel, remove. How it ends by force: `burial`.

Life of an attempt, as the folder tells it:

    folder is there, no lock held, no journal           not started: launch
    no lock held, a journal without Closed at its end   its supervisor died: bury
    lock held                                           a supervisor works on it
    no lock held, Closed is the journal's last record   done: ship the journal, then remove the folder
    SpoiledError, whatever was asked                    the job did something to its folder: bury_spoiled
"""

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from agent.errors import AgentError, SpoiledError
from agent.job.account.account import Account
from agent.job.containers.sweeping import sweep_job, sweep_others, uses_containers
from agent.job.folder import attempt as folders
from agent.job.folder.attempt import (
    JobFolder,
    create_job_folder,
    is_running,
    list_job_folders,
    list_leftovers,
    open_job_folder,
    reach_control,
    remove_leftovers,
    take_lock,
)
from agent.job.folder.settings import JobSettings
from agent.job.launch.asking import (
    NewRoom,
    Reply,
    answer_step,
    ask_supervisor,
    has_room,
    read_pause,
    request_cancel,
    try_cancel,
)
from agent.job.launch.early import Become, EarlySupervisor
from agent.journal.magic import MAGIC, size
from agent.trees import Remains

if TYPE_CHECKING:
    import subprocess

__all__ = [
    "EarlySupervisor",
    "ForkServer",
    "JobFolder",
    "JobSettings",
    "NewRoom",
    "Reply",
    "answer_step",
    "ask_supervisor",
    "create_job_folder",
    "fork_early",
    "fork_supervisor",
    "has_room",
    "is_running",
    "list_job_folders",
    "list_leftovers",
    "make_mask",
    "may_run",
    "open_job_folder",
    "put_back_left",
    "read_pause",
    "remove_job_folder",
    "remove_leftovers",
    "request_cancel",
    "sweep_containers",
    "try_cancel",
    "uses_containers",
]


class ForkServer:
    """A small process that has everything imported and forks a supervisor in milliseconds.

    Supervisors are its children, each in a session of its own; they go on when it, or the daemon, is gone. It ends by
    itself when the daemon does. One launch at a time.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    async def start(self) -> None:
        """Start the process when none lives. `launch` does it too; starting early saves the first job the wait."""
        import subprocess

        if self._process is not None and self._process.poll() is None:
            return
        await self.close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a spawn takes about a millisecond
                [
                    sys.executable,
                    "-P",
                    "-X",
                    "utf8",
                    "-m",
                    "agent.job.launch.forkserver",
                    str(theirs.fileno()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        ours.setblocking(False)
        self._socket = ours

    async def launch(self, folder: JobFolder) -> int:
        """Start the supervisor of `folder` and return its process id. Raises AgentError when one lives already."""
        try:
            reply = await self._ask(folder)
        except OSError:  # it died between two jobs: a fresh one is as good
            await self.close()
            reply = await self._ask(folder)
        if "error" in reply:
            raise AgentError(reply["error"], where=str(folder.path))
        return int(reply["pid"])

    async def close(self) -> None:
        """Let the process end; supervisors go on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.wait()
            self._process = None

    async def _ask(self, folder: JobFolder) -> dict[str, Any]:
        import asyncio

        await self.start()
        if self._socket is None:
            raise AgentError("the fork server is not running")
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._socket, json.dumps({"folder": str(folder.path)}).encode())
        data = await loop.sock_recv(self._socket, 1 << 16)
        if not data:
            raise ConnectionResetError
        reply: dict[str, Any] = json.loads(data)
        return reply


def fork_supervisor(
    folder: JobFolder, secrets: Mapping[str, str] | None = None, early: EarlySupervisor | None = None
) -> int:
    """Fork this very process into the supervisor of `folder` and return its process id.

    `secrets` never touch the disk; None means: open the folder's sealed ones. The caller is the parent and reaps it.
    `early` is the process to take, while it is free. Raises AgentError when a supervisor lives already.
    """
    lock = take_lock(folder)
    if lock is None:
        raise AgentError("a supervisor is already running", where=str(folder.path))
    if size(folder.journal) > len(MAGIC):
        os.close(lock)
        raise AgentError(
            "this attempt was started before", where=str(folder.path), hint="bury it: no attempt runs twice"
        )
    listener = _listen(folder)
    try:
        if early is not None and early.is_free:
            with contextlib.suppress(OSError):  # it was killed while it waited: another is as good
                return early.take_over(folder.path, secrets, lock, listener)
        from agent.job.supervisor import process as supervisor

        pid = os.fork()
        if pid == 0:
            _become(supervisor.run, folder, secrets, lock, listener)
    finally:
        os.close(lock)
        listener.close()
    return pid


def fork_early() -> EarlySupervisor:
    """Fork this very process into a supervisor that gets its job later: `fork_supervisor`."""
    return EarlySupervisor(_get_ready)


def make_mask(secrets: Iterable[str]) -> Callable[[str], str]:
    """What gives a text with `***` in place of the secrets and their derived forms, as in a job's log."""
    from agent.job.output.masking import Masker

    masker = Masker()
    for value in secrets:
        masker.add(value)
    return masker.mask_text


def put_back_left(folder: Path) -> str:
    """Put back what actions of runs that died took away of the repository around `folder`: what was done, or empty.

    Branches, tags, stashes, what was staged, and files; what a run that lives holds is left alone (agent.job.in_place.left).
    """
    if not _may_hold_something(folder):
        return ""
    from agent.job.in_place.left import put_back_left

    return put_back_left(folder)


def _may_hold_something(folder: Path) -> bool:
    """Whether a run has begun to hold something there, or git would have to be asked: before each run this is all that is done."""
    for above in (folder, *folder.parents):
        git = above / ".git"
        if git.is_dir():
            names = ("flow-agent", "flow-agent-held", "refs/flow-agent")
            return any((git / name).exists() for name in names)
        if git.exists():
            return True  # a linked work tree, a submodule
    return (folder / ".flow-agent-held").exists()


def remove_job_folder(
    folder: JobFolder, work_folder: Path | None = None, account: Account | None = None
) -> Remains:
    """Forget the job: its folder, its workspace, and what it may have left at the container engine.

    Links are removed, never followed. Doing it again does no harm. What could not be removed is what this gives. `work_folder`
    is where the workspace lies, and `account` as whom it ran, when the job's settings can't be read. Raises AgentError when the folder can't be moved.
    """
    from agent.job.process.cgroup import group_of

    sweep_job(folder)
    group_of(folder).remove()
    return folders.remove_job_folder(folder, work_folder, account)


def may_run(folder: JobFolder) -> bool:
    """Whether a supervisor lives in `folder`, also when its lock was spoiled and can't tell."""
    try:
        return is_running(folder)
    except SpoiledError:
        from agent.job.process.ending import find_supervisors

        return bool(find_supervisors(folder))


def sweep_containers(root: Path) -> str:
    """Remove the containers, networks and volumes of jobs under `root` that run no longer: for the daemon's start.

    Returns why that was not possible; empty when it was, or when there is no container engine.
    """
    return sweep_others(root, [folder for folder in list_job_folders(root) if may_run(folder)])


def _listen(folder: JobFolder) -> socket.socket:
    """The control socket, listening before the supervisor lives: a request that comes early waits, and is not lost."""
    folder.control.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    with reach_control(folder) as path:
        listener.bind(path)
    folder.control.chmod(0o600)
    listener.listen(16)
    return listener


def _get_ready() -> Become:
    from agent.job.supervisor import process as supervisor

    def become(path: Path, secrets: Mapping[str, str] | None, lock: int, listener: socket.socket) -> None:
        folder = open_job_folder(path)
        assert folder is not None
        _become(supervisor.run, folder, secrets, lock, listener)

    return become


def _become(
    run: Callable[[JobFolder, Mapping[str, str] | None, int, socket.socket], object],
    folder: JobFolder,
    secrets: Mapping[str, str] | None,
    lock: int,
    listener: socket.socket,
) -> NoReturn:
    """In the fork: forget the parent's signals, files and loop, be the supervisor, and never come back."""
    status = 70
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # who asks something and hangs up must not end the job
        run(folder, secrets, lock, listener)
        status = 0
    finally:
        os._exit(status)
