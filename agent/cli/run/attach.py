"""`agent run attach`: a shell, or a command, in a running job.

At a terminal everything that is typed goes to the other side, ctrl-C included; Enter ~ . leaves. Without one, standard input, output
and error are passed on as they are, and the exit code is the command's.
"""

import asyncio
import json
import os
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from agent.cli.client import Client
from agent.cli.run.escapes import Escapes
from agent.errors import AgentError, NotFoundError, UnreachableError, UsageError
from agent.spec.status import JobStatus
from agent.wire.answers import explain_answer

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

_LOOK_SECONDS = 1.0
_READ_BYTES = 8 << 10
_OPEN_SECONDS = 30.0


def attach(client: Client, run: int, job: str | None, command: Sequence[str]) -> int:
    """Attach to a job of `run`, waiting for it to start; the exit code of what ran. Raises AgentError."""
    has_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    found = _wait_for_job(client, run, job)
    size = _size() if has_terminal else None
    body = {"command": list(command), "terminal": size and _describe_terminal(size)}
    ticket = client.post(f"/api/v1/jobs/{found['id']}/attach", body)
    _say(
        f"attaching to {ticket['job']} on {ticket['agent']}" + ("; Enter ~ . leaves" if has_terminal else "")
    )
    return asyncio.run(_Session(client.url, ticket, size).run())


def resume(client: Client, run: int, job: str | None) -> str:
    """Let a job of `run` go on that is held after a failure; its key. Raises AgentError when it is not held."""
    found = _choose(client.get(f"/api/v1/runs/{run}"), job)
    ticket = client.post(f"/api/v1/jobs/{found['id']}/attach", {"resume": True})
    asyncio.run(_Session(client.url, ticket, None).run(is_silent=True))
    return str(ticket["job"])


def _wait_for_job(client: Client, run: int, wanted: str | None) -> Mapping[str, Any]:
    """The job, once it runs. Raises NotFoundError, UsageError, AgentError when there is nothing to wait for."""
    said = ""
    while True:
        job = _choose(client.get(f"/api/v1/runs/{run}"), wanted)
        if job["status"] == JobStatus.RUNNING:
            return job
        waiting = f"waiting for job {job['key']} to start" + (f": {job['waiting']}" if job["waiting"] else "")
        if waiting != said:
            _say(waiting)
            said = waiting
        time.sleep(_LOOK_SECONDS)


def _choose(run: Mapping[str, Any], wanted: str | None) -> Mapping[str, Any]:
    jobs = [job for job in run["jobs"] if wanted in (None, job["key"], job["id"])]
    if not jobs:
        known = ", ".join(job["key"] for job in run["jobs"])
        raise NotFoundError(
            f"the run has no job '{wanted}'", where=f"run {run['id']}", hint=f"it has {known}"
        )
    left = [job for job in jobs if not job["conclusion"]]
    if not left:
        what = f"the job {jobs[0]['key']}" if wanted else f"run {run['id']}"
        raise AgentError(
            f"{what} has ended: there is nothing to attach to",
            hint=f"run it again, and attach while it runs: agent run rerun {run['id']}",
        )
    running = [job for job in left if job["status"] == JobStatus.RUNNING]
    chosen = running or left
    if len(chosen) > 1:
        names = ", ".join(job["key"] for job in chosen)
        raise UsageError("several jobs are there", where=f"run {run['id']}", hint=f"name one of {names}")
    return dict(chosen[0])


class _Session:
    """From the websocket's opening to its end."""

    def __init__(self, url: str, ticket: Mapping[str, Any], size: dict[str, int] | None) -> None:
        """`size` is the terminal's, as the other side has been told it; None without one."""
        self._url = url
        self._ticket = ticket
        self._told_size = size
        self._has_terminal = size is not None
        self._is_left = asyncio.Event()

    async def run(self, *, is_silent: bool = False) -> int:
        """The exit code of what ran; 0 for who left. Nothing is typed when `is_silent`. Raises AgentError."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidStatus, WebSocketException

        parts = urlsplit(self._url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        url = urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + self._ticket["path"], "", ""))
        headers = {"Authorization": f"Bearer {self._ticket['ticket']}"}
        try:
            async with connect(
                url, additional_headers=headers, compression=None, open_timeout=_OPEN_SECONDS, close_timeout=2
            ) as socket:
                return await self._converse(socket, is_silent=is_silent)
        except InvalidStatus as error:
            answer = error.response
            why = explain_answer(answer.status_code, answer.headers, bytes(answer.body or b""), self._url)
            raise AgentError(
                f"the server refused to attach: {why.what}",
                where=self._url,
                hint="does its proxy let websockets through? See docs/attach.md",
            ) from None
        except BrokenPipeError:
            raise  # whoever read our output has gone
        except (OSError, WebSocketException) as error:
            raise UnreachableError(
                f"the connection to the server was lost: {error}", where=self._url, hint="the job goes on"
            ) from None

    async def _converse(self, socket: "ClientConnection", *, is_silent: bool) -> int:
        showing = asyncio.ensure_future(self._show(socket))
        leaving = asyncio.ensure_future(self._is_left.wait())
        with self._own_terminal(socket):
            if not is_silent:
                arguments = (socket, asyncio.get_running_loop())
                threading.Thread(target=self._read, args=arguments, daemon=True).start()
            await asyncio.wait({showing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not showing.done():
            showing.cancel()
            _say("left; the job goes on")
            return 0
        ending = showing.result()
        if ending["exit_code"] is None:
            raise AgentError(ending["message"], where=self._ticket["job"], hint=ending["hint"])
        return int(ending["exit_code"])

    async def _show(self, socket: "ClientConnection") -> Mapping[str, Any]:
        """Print until the session's end. Raises ConnectionClosed."""
        while True:
            frame = await socket.recv()
            if isinstance(frame, bytes):
                await asyncio.to_thread(_write, frame[0], frame[1:])
                continue
            said: dict[str, Any] = json.loads(frame)
            if said["kind"] == "ended":
                return said

    @contextmanager
    def _own_terminal(self, socket: "ClientConnection") -> Iterator[None]:
        """The terminal hands on every key; it is given back as it was."""
        if not self._has_terminal:
            yield
            return
        loop = asyncio.get_running_loop()
        before = termios.tcgetattr(0)
        tty.setraw(0, termios.TCSADRAIN)  # what was typed meanwhile is not lost
        tasks: set[asyncio.Task[None]] = set()

        def resize() -> None:
            task = loop.create_task(self._tell_size(socket))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        loop.add_signal_handler(signal.SIGWINCH, resize)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._is_left.set)
        resize()  # what changed meanwhile
        try:
            yield
        finally:
            for number in (signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP):
                loop.remove_signal_handler(number)
            termios.tcsetattr(0, termios.TCSADRAIN, before)
            sys.stderr.write("\n")

    def _read(self, socket: "ClientConnection", loop: asyncio.AbstractEventLoop) -> None:
        """In a thread, as standard input may be a file: pass on what is typed, no faster than it is taken."""
        escapes = Escapes()
        with suppress(RuntimeError, OSError):  # the loop, or the terminal, has gone
            while True:
                data = os.read(0, _READ_BYTES)
                if not data:
                    work = _send(socket, '{"kind": "end"}')
                    asyncio.run_coroutine_threadsafe(work, loop).result()
                    return
                if self._has_terminal:
                    data = escapes.feed(data)
                if data:
                    asyncio.run_coroutine_threadsafe(self._type(socket, data), loop).result()
                if escapes.is_leaving:
                    loop.call_soon_threadsafe(self._is_left.set)
                    return

    async def _type(self, socket: "ClientConnection", data: bytes) -> None:
        """Pass on what was typed, after the terminal's size at that time: the signal that it changed may come later than the keys."""
        if self._has_terminal:
            await self._tell_size(socket)
        await _send(socket, data)

    async def _tell_size(self, socket: "ClientConnection") -> None:
        try:
            size = _size()
        except OSError:  # the terminal has gone
            return
        if size != self._told_size:
            self._told_size = size
            await _send(socket, json.dumps({"kind": "resize", **size}))


async def _send(socket: "ClientConnection", frame: str | bytes) -> None:
    from websockets.exceptions import ConnectionClosed

    with suppress(ConnectionClosed):  # whoever shows knows
        await socket.send(frame)


def _write(stream: int, data: bytes) -> None:
    file = 2 if stream == 2 else 1
    while data:
        data = data[os.write(file, data) :]


def _describe_terminal(size: Mapping[str, int]) -> dict[str, Any]:
    return {**size, "kind": os.environ.get("TERM", "")[:100]}


def _size() -> dict[str, int]:
    size = os.get_terminal_size(1)
    return {"rows": size.lines, "columns": size.columns}


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
