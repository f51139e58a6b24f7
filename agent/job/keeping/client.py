"""The supervisor's end of its keeper (`agent.job.supervisor.keeper`): one question is a message with one end of a socket in it, on
which the answer comes: JSON, and at most one open file.
"""

import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from agent.errors import AgentError, DamagedError, NotFoundError, RefusedError, UnreachableError, UsageError

FETCHED = "_fetched"  # in the job's folder in the work folder: what the keeper brings
_KINDS: dict[str, type[AgentError]] = {
    kind.__name__: kind
    for kind in (AgentError, DamagedError, NotFoundError, RefusedError, UnreachableError, UsageError)
}


class Keeper:
    """The supervisor's end. Every method may be called from any thread, waits for the answer, and raises AgentErrors."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests

    def fileno(self) -> int:
        """Of the socket, which is the supervisor's alone."""
        return self._requests.fileno()

    def close(self) -> None:
        """The keeper ends."""
        self._requests.close()

    def reach_engine(self) -> socket.socket:
        """A fresh connection to the container engine."""
        _answer, file = self._ask("engine")
        if file is None:
            raise UnreachableError("no container engine was handed over")
        return socket.socket(fileno=file)

    def note_engine(self) -> None:
        """The job may have something at the engine, which it reaches by itself."""
        self._ask("engine used")

    def leave_engine(self) -> None:
        """All that the job had at the engine is gone."""
        self._ask("engine left")

    def read_logins(self) -> dict[str, Any]:
        """The agent's `docker login`, as its file says; empty without one."""
        answer, _file = self._ask("logins")
        return dict(answer["logins"])

    def fetch(self, urls: Sequence[str], ref: str, admitted: Sequence[str]) -> dict[str, Any]:
        """A repository at `ref`: `root`, `commit`, `origin`, `warnings`; or the `place` that it has moved to, not `admitted` yet."""
        answer, _file = self._ask("fetch", urls=list(urls), ref=ref, admitted=list(admitted))
        return answer

    def install_node(self, *, is_musl: bool) -> str:
        """The executable of a node of our own; installed when it is not there."""
        answer, _file = self._ask("musl node" if is_musl else "node")
        return str(answer["node"])

    def _ask(self, verb: str, **what: object) -> tuple[dict[str, Any], int | None]:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                request = json.dumps({"verb": verb, **what}).encode()
                try:
                    socket.send_fds(self._requests, [request], [theirs.fileno()])
                except OSError as error:
                    raise AgentError(f"the job's keeper is gone: {error.strerror}") from None
            return _read_answer(ours)


def _read_answer(reply: socket.socket) -> tuple[dict[str, Any], int | None]:
    data, files, _flags, _address = socket.recv_fds(reply, 1, 1)
    text = bytearray()
    while chunk := reply.recv(1 << 16):
        text += chunk
    if not data or not text:
        raise AgentError("the job's keeper has ended")
    answer = json.loads(text)
    if "error" in answer:
        raise read_error(answer["error"])
    return answer, files[0] if files else None


def describe_error(error: AgentError) -> dict[str, str]:
    """An error as the keeper says it."""
    kind = next(name for name in (item.__name__ for item in type(error).__mro__) if name in _KINDS)
    return {"kind": kind, "what": error.what, "where": error.where, "hint": error.hint}


def read_error(said: Mapping[str, str]) -> AgentError:
    """And as the supervisor raises it."""
    return _KINDS[said["kind"]](said["what"], where=said.get("where", ""), hint=said.get("hint", ""))
