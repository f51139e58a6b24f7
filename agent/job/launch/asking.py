"""Questions to a supervisor, from another process (`agent.job.supervisor.control`): one question, one answer, in a time that is bounded.

They go over its control socket; to one that may run on another machine by lines in its folder (`agent.job.launch.lines`).
"""

import contextlib
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from agent.errors import UnreachableError
from agent.job.folder.attempt import JobFolder, reach_control
from agent.job.launch.lines import ask_by_lines, is_elsewhere
from agent.spec.outcome import FailureKind

_SECONDS = 5.0  # for the whole of one question and its answer
_MOST_ANSWER_BYTES = 1 << 16


class Reply(StrEnum):
    """What came of asking a supervisor for its job's end."""

    ANSWERED = "answered"
    SILENT = "silent"  # somebody has the socket, and does not answer in time
    ABSENT = "absent"  # nobody listens there


def request_cancel(folder: JobFolder, reason: str) -> bool:
    """Ask the supervisor to cancel its job. False when nobody listens any more. Asking twice does no harm."""
    return try_cancel(folder, reason) is Reply.ANSWERED


def try_cancel(folder: JobFolder, reason: str, kind: FailureKind = FailureKind.CANCELLED) -> Reply:
    """`request_cancel`, telling who does not answer from who is not there.

    `kind`: as what the job ends (a supervisor from before that ends it as cancelled).
    """
    request = {"kind": "cancel", "reason": reason, "failure_kind": kind.value}
    try:
        reply = _ask(folder, request)
    except (TimeoutError, BlockingIOError, ValueError):
        return Reply.SILENT
    except OSError:
        return Reply.ABSENT
    return Reply.ANSWERED if reply.get("ok") is True else Reply.SILENT


@dataclass(frozen=True, slots=True)
class NewRoom:
    """What is the job's from now on, of which it has given its room back: GPUs by their UUIDs, and the variables that say so."""

    gpus: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def answer_step(
    folder: JobFolder,
    step: int,
    by: str,
    values: Mapping[str, object],
    refusal: str = "",
    room: NewRoom | None = None,
) -> str:
    """Tell the supervisor what a person has filled in; why it does not take it, and nothing when it does.

    An answer may be told again: the step goes on with the first. Without a `room` the job has what it had. Raises
    UnreachableError when nobody answers in time.
    """
    request = {"kind": "answer", "step": step, "by": by, "values": dict(values), "refusal": refusal}
    if room is not None:
        request |= {"gpus": list(room.gpus), "given": dict(room.given)}
    reply = ask_supervisor(folder, request)
    if reply is None:
        raise UnreachableError("the job's supervisor does not answer")
    return "" if reply.get("ok") is True else str(reply.get("error", "the job does not take it"))


def read_pause(folder: JobFolder) -> tuple[bool, float]:
    """Whether the job's time stands still, and for how many seconds it has until now; it does not when nobody answers."""
    reply = ask_supervisor(folder, {"kind": "pause"}) or {}
    seconds = reply.get("paused_seconds")
    if isinstance(seconds, bool) or not isinstance(
        seconds, int | float
    ):  # the job may have put a socket of its own there
        seconds = 0.0
    return reply.get("is_paused") is True, max(0.0, float(seconds))


def has_room(folder: JobFolder) -> bool:
    """Whether the job has its slot, cores, memory and GPUs: it may have given them back while it waits for a person."""
    reply = ask_supervisor(folder, {"kind": "pause"}) or {}
    return reply.get("has_room") is not False


def ask_supervisor(folder: JobFolder, request: Mapping[str, object]) -> dict[str, Any] | None:
    """The supervisor's answer to one request (`agent.job.supervisor.control`), or None when nobody answers in time."""
    with contextlib.suppress(OSError, ValueError):
        return _ask(folder, request)
    return None


def _ask(folder: JobFolder, request: Mapping[str, object]) -> dict[str, Any]:
    if is_elsewhere(folder):
        return ask_by_lines(folder, dict(request), time.monotonic() + _SECONDS)
    return ask_here(folder, request)


def ask_here(folder: JobFolder, request: Mapping[str, object]) -> dict[str, Any]:
    """The answer of a supervisor on this machine. Raises OSError (TimeoutError) when there is none, ValueError for what is none."""
    with socket.socket(socket.AF_UNIX) as client:
        deadline = time.monotonic() + _SECONDS
        client.settimeout(_SECONDS)
        with reach_control(folder) as path:
            client.connect(path)
        client.sendall(json.dumps(request).encode() + b"\n")
        reply = json.loads(_read_line(client, deadline))
        if not isinstance(reply, dict):
            raise ValueError("an answer is a JSON object")  # noqa: TRY004 - said of what came, not of what was called
        return reply


def _read_line(client: socket.socket, deadline: float) -> bytes:
    """One line, by `deadline` as a whole: whoever listens there may send it byte by byte for ever."""
    data = b""
    while not data.endswith(b"\n") and len(data) < _MOST_ANSWER_BYTES:
        client.settimeout(max(0.001, deadline - time.monotonic()))
        chunk = client.recv(_MOST_ANSWER_BYTES)
        if not chunk:
            break
        data += chunk
    return data
