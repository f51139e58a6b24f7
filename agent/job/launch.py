"""The front door of a job: make its folder, start its supervisor, ask, cancel, bury. All that others may use.

Life of an attempt, as the folder tells it:

    folder is there, no lock held, no journal           not started: launch
    no lock held, a journal without Closed at its end   its supervisor died: bury
    lock held                                           a supervisor works on it
    no lock held, Closed is the journal's last record   done: ship the journal, then remove the folder
"""

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from agent.errors import AgentError, DamagedError
from agent.job import folder as folders
from agent.job.early import Become, EarlySupervisor
from agent.job.folder import (
    JobFolder,
    create_job_folder,
    is_running,
    list_job_folders,
    open_job_folder,
    reach_control,
    take_lock,
)
from agent.job.settings import JobSettings
from agent.job.sweeping import sweep_job, sweep_others
from agent.journal.file import JournalReader, JournalWriter, size
from agent.journal.format import MAGIC, Closed, Opened, StepChanged
from agent.spec.outcome import Conclusion, FailureKind, JobResult

__all__ = [
    "EarlySupervisor",
    "ForkServer",
    "JobFolder",
    "JobSettings",
    "bury",
    "create_job_folder",
    "fork_early",
    "fork_supervisor",
    "has_last_word",
    "is_running",
    "list_job_folders",
    "make_mask",
    "open_job_folder",
    "read_result",
    "remove_job_folder",
    "request_cancel",
    "sweep_containers",
]

_CONTROL_SECONDS = 5.0


class ForkServer:
    """A small process that has everything imported and forks a supervisor in milliseconds.

    Supervisors are its children, each in a session of its own; they go on when it, or the daemon, is gone. It ends by
    itself when the daemon does. One launch at a time.
    """

    def __init__(self) -> None:
        self._process: Any = None
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
                [sys.executable, "-P", "-X", "utf8", "-m", "agent.job.forkserver", str(theirs.fileno())],
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
        from agent.job import supervisor

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
    from agent.job.masking import Masker

    masker = Masker()
    for value in secrets:
        masker.add(value)
    return masker.mask_text


def request_cancel(folder: JobFolder, reason: str) -> bool:
    """Ask the supervisor to cancel its job. False when nobody listens any more. Asking twice does no harm."""
    return ask_supervisor(folder, {"kind": "cancel", "reason": reason}) is not None


def ask_supervisor(folder: JobFolder, request: Mapping[str, object]) -> dict[str, Any] | None:
    """The supervisor's answer to one request (`agent.job.control`), or None when nobody answers."""
    with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_CONTROL_SECONDS)
        with reach_control(folder) as path:
            client.connect(path)
        client.sendall(json.dumps(request).encode() + b"\n")
        reply: dict[str, Any] = json.loads(client.makefile("rb").readline())
        return reply
    return None


def bury(folder: JobFolder, kind: FailureKind, message: str) -> None:
    """Give the journal of a dead supervisor its last word: Closed(failure, `kind`, `message`).

    What is left of the job's processes is killed, its containers are removed, a torn tail is cut, steps that were running end as failed. A journal
    that is closed already stays as it is: before its supervisor wrote that, it had ended all of the job. Raises AgentError
    when the supervisor lives.
    """
    from agent.job.groups import group_of
    from agent.job.proc import kill_tracked

    lock = take_lock(folder)
    if lock is None:
        raise AgentError("the job is still running", where=str(folder.path), hint="cancel it first")
    try:
        if has_last_word(folder):
            return
        group = group_of(folder)
        group.kill()
        kill_tracked(folder.tracking_id)
        unswept = sweep_job(folder)
        writer = JournalWriter(folder.journal)
        try:
            _close_journal(folder, writer, kind, f"{message} ({unswept})" if unswept else message)
        finally:
            writer.close()
    finally:
        os.close(lock)


def remove_job_folder(folder: JobFolder) -> None:
    """Forget the job: its folder, its workspace, and what it may have left at the container engine.

    Links are removed, never followed. Doing it again does no harm. Raises AgentError naming a file that this user may not
    remove.
    """
    from agent.job.groups import group_of

    sweep_job(folder)
    group_of(folder).remove()
    folders.remove_job_folder(folder)


def sweep_containers(root: Path) -> str:
    """Remove the containers, networks and volumes of jobs under `root` that run no longer: for the daemon's start.

    Returns why that was not possible; empty when it was, or when there is no container engine.
    """
    return sweep_others(root, [folder for folder in list_job_folders(root) if is_running(folder)])


def _close_journal(folder: JobFolder, writer: JournalWriter, kind: FailureKind, message: str) -> None:
    running: dict[int, StepChanged] = {}
    last: object = None
    for _end, last in JournalReader(folder.journal):
        if isinstance(last, StepChanged):
            running.pop(last.step, None)
            if last.state == "running":
                running[last.step] = last
    if isinstance(last, Closed):
        return
    now = int(time.time() * 1000)
    if last is None:
        writer.append(Opened(folder.job, folder.lease, now))
    for step in running.values():
        writer.append(
            StepChanged(
                *(step.step, step.id, step.name, "completed", now, step.parent),
                outcome=Conclusion.FAILURE,
                conclusion=Conclusion.FAILURE,
                seconds=max(0.0, (now - step.time_ms) / 1000),
            )
        )
    writer.append(Closed(now, JobResult(Conclusion.FAILURE, failure_kind=kind, message=message)))
    writer.sync()


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
    from agent.job import supervisor

    def become(path: Path, secrets: Mapping[str, str] | None, lock: int, listener: socket.socket) -> None:
        folder = open_job_folder(path)
        assert folder is not None
        _become(supervisor.run, folder, secrets, lock, listener)

    return become


def _become(
    run: Any, folder: JobFolder, secrets: Mapping[str, str] | None, lock: int, listener: socket.socket
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


def has_last_word(folder: JobFolder) -> bool:
    """Whether the journal is closed, and nothing before its end is damaged."""
    try:
        return read_result(folder.journal) is not None
    except DamagedError:
        return False


def read_result(path: Path) -> JobResult | None:
    """How the attempt whose journal is at `path` ended; None while it has not."""
    result: JobResult | None = None
    for _end, record in JournalReader(path):
        if isinstance(record, Closed):
            result = record.result
    return result
