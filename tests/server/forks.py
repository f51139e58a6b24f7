"""Test servers without the second that each would need to import everything: a process that has done so forks them.

Each is a process like any other, with a number, output and environment of its own; it is killed and waited for as usual.
One message on the socket asks for a server (with the files for its output), another for the exit code of one that has ended.
"""

import atexit
import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn

_MOST_BYTES = 1 << 17


class ForkedServer:
    """What the tests use of `subprocess.Popen`."""

    def __init__(self, forks: "ServerForks", pid: int, stdout: IO[bytes]) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._forks = forks
        self._pidfd = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """The exit code. Raises TimeoutExpired."""
        if self.returncode is None:
            ended = select.poll()
            ended.register(self._pidfd, select.POLLIN)
            if not ended.poll(timeout * 1000):
                raise subprocess.TimeoutExpired("a test server", timeout)
            os.close(self._pidfd)
            self.returncode = self._forks.reap(self.pid)
        return self.returncode

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.returncode is None:
            signal.pidfd_send_signal(self._pidfd, number)


class ServerForks:
    """The process that forks; it ends with this one."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            os.set_inheritable(theirs.fileno(), True)
            command = [sys.executable, __file__, str(theirs.fileno())]
            self._pid = os.posix_spawn(sys.executable, command, os.environ)
        atexit.register(self.close)

    def start(self, settings: dict[str, Any], log: IO[bytes]) -> ForkedServer:
        """A server with these settings; what it announces is on its stdout, `log` has the rest."""
        asked = {"settings": settings, "environment": dict(os.environ), "folder": str(Path.cwd())}
        reading, writing = os.pipe()
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(asked).encode()], [writing, log.fileno()])
            os.close(writing)
            pid = int(self._socket.recv(64))
        return ForkedServer(self, pid, os.fdopen(reading, "rb"))

    def reap(self, pid: int) -> int:
        """The exit code of a server that has ended."""
        with self._lock:
            self._socket.sendall(str(pid).encode())
            return int(self._socket.recv(64))

    def close(self) -> None:
        self._socket.close()
        os.waitpid(self._pid, 0)


@cache
def server_forks() -> ServerForks:
    """The one of this process."""
    return ServerForks()


def _serve_forks(requests: socket.socket) -> None:
    import start_server  # all that a server imports

    gc.freeze()
    while True:
        data, files, _flags, _from = socket.recv_fds(requests, _MOST_BYTES, 2)
        if files:
            pid = os.fork()
            if pid == 0:
                requests.close()
                _become(start_server, json.loads(data), files)
            for file in files:
                os.close(file)
            requests.sendall(str(pid).encode())
        elif data:
            _, status = os.waitpid(int(data), 0)
            requests.sendall(str(os.waitstatus_to_exitcode(status)).encode())
        else:
            return


def _become(module: Any, asked: dict[str, Any], files: list[int]) -> NoReturn:
    code = 1
    try:
        for target, file in enumerate(files, start=1):
            os.dup2(file, target)
            os.close(file)
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["folder"])
        module.run(asked["settings"])
        code = 0
    except BaseException:  # noqa: BLE001 - as the interpreter would
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as inherited:
        _serve_forks(inherited)
