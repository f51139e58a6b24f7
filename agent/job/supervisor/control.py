"""The control socket of a running job: a unix socket in the job folder, one JSON object a line, one answer each.

{"kind": "cancel", "reason": TEXT}   end the job the usual way         -> {"ok": true}; also "failure_kind": as what it ends
     `interrupted`: it makes place for another one, and goes on later
{"kind": "ping"}                     who is there?                     -> {"ok": true, "pid": N}
{"kind": "answer", "step": N, ...}   what a person has filled in   -> {"ok": true}; `agent.job.steps.people`
{"kind": "pause"}                    does the job's time stand still?   -> {"ok": true, "is_paused": BOOL, "paused_seconds": N, "has_room": BOOL}
{"kind": "attach", ...}              talk to a program beside the steps -> {"ok": true}, then frames: `agent.job.attach.frames`
{"kind": "attach", "app": NAME, ...} a connection to an app's port      -> {"ok": true} with it: `agent.job.apps.handing`
"""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from agent.errors import AgentError
from agent.job.steps.people import HeardAnswer
from agent.spec.outcome import FailureKind

_MAX_LINE_BYTES = 1 << 21  # an answer's text, escaped


Attach = Callable[[Mapping[str, Any], asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Controlled(Protocol):
    """The job, as far as it can be asked for something."""

    def cancel(self, reason: str, kind: FailureKind = FailureKind.CANCELLED) -> None:
        """End it the usual way, as what `kind` says."""
        ...

    def interrupt(self, reason: str) -> None:
        """End it so that its next try can go on from where it is."""
        ...

    def answer(self, step: int, answer: HeardAnswer) -> None:
        """What the step waits for. Raises AgentError when it does not."""
        ...

    def describe_pause(self) -> dict[str, object]:
        """Whether its time stands still, and for how long it has."""
        ...


class ControlServer:
    """Answers requests until it is closed. `on_attach` has the connection from then on."""

    def __init__(self, listener: socket.socket, job: Controlled, on_attach: Attach) -> None:
        self._listener = listener
        self._job = job
        self._on_attach = on_attach
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Begin to answer, those first who have been waiting."""
        self._listener.setblocking(False)
        self._server = await asyncio.start_unix_server(
            self._serve, sock=self._listener, limit=_MAX_LINE_BYTES
        )

    def close(self) -> None:
        """Answer nobody any more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                request = _read_request(line)
                if request.get("kind") == "attach":
                    await self._on_attach(request, reader, writer)
                    return
                writer.write(json.dumps(self._answer(request)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):  # gone, or a line without an end: nobody to answer
            return
        finally:
            writer.close()

    def _answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        kind = request.get("kind")
        if kind == "cancel":
            reason, end = str(request.get("reason", "")), _read_kind(request.get("failure_kind"))
            if end is FailureKind.INTERRUPTED:
                self._job.interrupt(reason)
            else:
                self._job.cancel(reason, end)
            return {"ok": True}
        if kind == "answer":
            return self._take_answer(request)
        if kind == "pause":
            return {"ok": True, **self._job.describe_pause()}
        if kind == "ping":
            return {"ok": True, "pid": os.getpid()}
        if kind is None:
            return {"ok": False, "error": "a request is a JSON object with a kind"}
        return {"ok": False, "error": f"unknown kind '{kind}'"}

    def _take_answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            self._job.answer(*_read_answer(request))
        except AgentError as error:
            return {"ok": False, "error": str(error)}
        return {"ok": True}


def _read_answer(request: Mapping[str, Any]) -> tuple[int, HeardAnswer]:
    values = request.get("values", {})
    step = request.get("step")
    if not isinstance(step, int) or not isinstance(values, dict):
        raise AgentError("an answer has the number of its step, and values by name")
    gpus, given = request.get("gpus"), request.get("given")
    return step, HeardAnswer(
        str(request.get("by", "")),
        values,
        str(request.get("refusal", "")),
        tuple(map(str, gpus)) if isinstance(gpus, list) else None,
        {str(name): str(value) for name, value in given.items()} if isinstance(given, dict) else {},
    )


def _read_kind(name: object) -> FailureKind:
    try:
        return FailureKind(str(name))
    except ValueError:
        return FailureKind.CANCELLED


def _read_request(line: bytes) -> Mapping[str, Any]:
    try:
        request = json.loads(line)
    except ValueError:
        return {}
    return request if isinstance(request, dict) else {}
