"""A supervisor that is there before its job is known: what it needs is imported while the flow is still being read.

For a run on this machine, where the command's own start is most of the time that a short job takes. It gets the job over a
socket: the lock and the control socket as open files, then folder and secrets as JSON; the socket's end without a job
sends it away.
"""

import json
import os
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

Become = Callable[[Path, Mapping[str, str] | None, int, socket.socket], None]
GetReady = Callable[[], Become]


class EarlySupervisor:
    """The waiting process; this one is its parent. A context manager: unused, it is gone at the end.

    `get_ready` is called in it at once, and what that gives when the job is there, with what `take_over` was given.
    """

    def __init__(self, get_ready: GetReady) -> None:
        self._socket, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self._socket.close()
            _wait_for_job(theirs, get_ready)
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_free:
            self._socket.close()
            os.kill(self.pid, signal.SIGKILL)  # it has nothing, and may still be importing
            os.waitpid(self.pid, 0)

    @property
    def is_free(self) -> bool:
        """Whether it still waits for a job; afterwards it is a supervisor like any other."""
        return self._socket.fileno() >= 0

    def take_over(
        self, folder: Path, secrets: Mapping[str, str] | None, lock: int, listener: socket.socket
    ) -> int:
        """Give it the job in `folder`, with the folder's lock and listening control socket; its process id.

        Raises OSError when it lives no more.
        """
        with self._socket:
            socket.send_fds(self._socket, [b"\n"], [lock, listener.fileno()])
            self._socket.sendall(json.dumps([str(folder), secrets]).encode())
        return self.pid


def _wait_for_job(parent: socket.socket, get_ready: GetReady) -> NoReturn:
    """In the fork: get ready, and become the supervisor of the job that comes, if one does."""
    status = 70
    try:
        os.setsid()  # ctrl-C is the parent's business
        _close_output()
        become = get_ready()
        _mark, files, _flags, _from = socket.recv_fds(parent, 1, 2)
        for file in files:
            os.set_inheritable(file, False)  # a step that had the lock would keep the job from ending
        if files:
            with parent.makefile("rb") as stream:
                path, secrets = json.load(stream)
            become(Path(path), secrets, files[0], socket.socket(fileno=files[1]))
        status = 0
    finally:
        os._exit(status)


def _close_output() -> None:
    """Whoever reads what the parent prints must not wait for us."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(nowhere, number)
    os.close(nowhere)
