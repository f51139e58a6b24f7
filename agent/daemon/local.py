"""Talking to the daemon of this machine, from another process: one line of JSON asks, one answers.

    {"verb": "status"}      {"verb": "drain", "is_draining": true}      {"verb": "reservations"}
    {"verb": "reserve", "gpu": "2", "holder": "ada", "seconds": 7200, "why": ""}        {"verb": "free", "gpu": "2"}

The socket lies in the state folder and is for its owner alone. Its path may be longer than the 107 bytes that Linux
allows, so both sides reach it by way of the opened folder.
"""

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from agent.daemon.state import StateFolder
from agent.errors import AgentError

_ANSWER_SECONDS = 10.0
MAX_LINE_BYTES = 1 << 20


def ask_daemon(state: StateFolder, request: Mapping[str, object]) -> dict[str, Any] | None:
    """The running daemon's answer; None when none runs. Raises AgentError when one runs and does not answer."""
    try:
        with socket.socket(socket.AF_UNIX) as client, _short_path(state) as path:
            client.settimeout(_ANSWER_SECONDS)
            client.connect(path)
            client.sendall(json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(client.makefile("rb").readline(MAX_LINE_BYTES))
            return answer
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return None
    except (OSError, ValueError):
        raise AgentError(
            "the agent does not answer",
            where=str(state.socket),
            hint="`agent start` after ending its process",
        ) from None


def listen_locally(state: StateFolder) -> socket.socket:
    """The daemon's control socket, listening. Only who holds the state's lock may do this."""
    state.socket.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    with _short_path(state) as path:
        try:
            listener.bind(path)
        except OSError as error:
            error.filename = str(state.socket)  # a bind says none
            raise
    state.socket.chmod(0o600)
    listener.listen(8)
    listener.setblocking(False)
    return listener


@contextlib.contextmanager
def _short_path(state: StateFolder) -> Iterator[str]:
    folder = os.open(state.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{state.socket.name}"
    finally:
        os.close(folder)
