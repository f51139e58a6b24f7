"""The services of one local run, as a process beside it: artifacts and caches as the server has them, on loopback.

`agent.cli.local_run.services` starts it when a job first asks, and hands it the socket that was asked. On standard input it says
line by line, in JSON, which jobs run; where that ends, the run has ended, or was killed, and this process goes with it.

The folder is the user's: what caches hold is there for the next run, everything else goes with its run. Runs at the same time
share it, each through a process of its own; the first one there clears away what killed ones have left.
"""

import asyncio
import base64
import contextlib
import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.clock import SystemClock
from agent.ids import JobId, RunId
from agent.seal.files import make_private_folder
from agent.server.data.shelves import ARTIFACTS, stored_artifact
from agent.server.http.call import Call, Handler
from agent.server.http.rooms import Rooms
from agent.server.installation import open_installation
from agent.server.local_artifacts import LocalArtifacts
from agent.server.process.data_folder import DataFolder
from agent.server.routes import make_routes
from agent.server.services import open_services
from agent.server.settings import ServerSettings
from agent.server.store import local_runs, retention
from agent.server.toolkit import artifacts, blobs, cache_v1, caches
from agent.spec.job import JobSpec, StepsWork

_ORDERS: Final = 0  # standard input
_MOST_BYTES: Final = 1 << 16


def main() -> None:
    """Serve the socket that is open as the number in the first argument until standard input ends."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    asked = json.loads(_read_line())
    root = Path(asked["data"])
    make_private_folder(root)
    lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    is_alone = _take(lock)
    settings = ServerSettings(listen=f"127.0.0.1:{listener.getsockname()[1]}", data=root)
    key = base64.b64decode(asked["signing_key"])
    folder = replace(open_installation(settings, SystemClock()), server_id=asked["issuer"], signing_key=key)
    if is_alone:
        asyncio.run(_forget_killed(settings, folder))
    fcntl.flock(lock, fcntl.LOCK_SH)  # others may come now
    asyncio.run(_serve(settings, folder, listener, asked))


async def _serve(
    settings: ServerSettings, folder: DataFolder, listener: socket.socket, asked: Mapping[str, Any]
) -> None:
    async with open_services(settings, folder, SystemClock()) as services:
        rooms, run = services.rooms, int(asked["run"])
        async with rooms.changes.begin() as change:
            await local_runs.begin_run(change.connection, run, asked["owner"], change.now)
        jobs = _Jobs(rooms, run)
        server = _make_server(_make_app(rooms, jobs, LocalArtifacts(rooms, run, Path(asked["artifacts"]))))
        try:
            await _serve_until_ended(server, listener, jobs)
        finally:
            await _forget(rooms, run)
            await rooms.data.retention.apply()  # no more caches than there may be


class _Jobs:
    """The jobs of the run, in the rows: they run for as long as standard input says."""

    def __init__(self, rooms: Rooms, run: int) -> None:
        self.has_ended = False
        self._rooms = rooms
        self._run = run
        self._heard = b""
        self._turn = asyncio.Lock()

    async def catch_up(self) -> None:
        """Take note of all that was said until now."""
        async with self._turn:
            with contextlib.suppress(BlockingIOError):
                while data := os.read(_ORDERS, _MOST_BYTES):
                    self._heard += data
                self.has_ended = True
            *lines, self._heard = self._heard.split(b"\n")
            for line in lines:
                await self._note(json.loads(line))

    async def _note(self, said: Mapping[str, Any]) -> None:
        async with self._rooms.changes.begin() as change:
            if "end" in said:
                await local_runs.end_job(change.connection, said["end"], change.now)
                return
            spec = JobSpec(
                run=RunId(self._run),
                job=JobId(said["begin"]),
                key=said["key"],
                name=said["key"],
                work=StepsWork(()),
                attempt=said["attempt"],
            )
            await local_runs.begin_job(change.connection, spec, change.now)


async def _serve_until_ended(server: uvicorn.Server, listener: socket.socket, jobs: _Jobs) -> None:
    """Answer requests until the run has ended."""
    os.set_blocking(_ORDERS, False)
    heard = asyncio.Event()
    asyncio.get_running_loop().add_reader(_ORDERS, heard.set)

    async def listen() -> None:
        while not jobs.has_ended:
            await heard.wait()
            heard.clear()
            await jobs.catch_up()
        asyncio.get_running_loop().remove_reader(_ORDERS)
        server.should_exit = server.force_exit = True

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(listen())
        await jobs.catch_up()
        await server.serve(sockets=[listener])


def _make_server(app: Starlette) -> uvicorn.Server:
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none")
    return _Server(config)


class _Server(uvicorn.Server):
    """uvicorn, whose end is the end of standard input, and no signal of a terminal's: ctrl-C is the run's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


def _make_app(rooms: Rooms, jobs: _Jobs, kept: LocalArtifacts) -> Starlette:
    """What GitHub's clients call, and nothing else of the server; artifacts lie in the run's folder, too."""

    async def finalize(call: Call) -> Response:
        answer = await artifacts.finalize_artifact(call)
        await kept.put(int(json.loads(bytes(answer.body))["artifact_id"]))
        return answer

    async def delete(call: Call) -> Response:
        await kept.take_in()
        answer = await artifacts.delete_artifact(call)
        await kept.drop_deleted()
        return answer

    def behind(handler: Handler) -> Handler:
        async def answer(call: Call) -> Response:
            await kept.take_in()
            return await handler(call)

        return answer

    own: dict[Handler, Handler] = {
        artifacts.finalize_artifact: finalize,
        artifacts.delete_artifact: delete,
    }
    operations = (
        *blobs.OPERATIONS,
        *(replace(row, handler=own.get(row.handler) or behind(row.handler)) for row in artifacts.OPERATIONS),
        *caches.OPERATIONS,
        *cache_v1.OPERATIONS,
    )
    routes = [route for route in make_routes(operations) if isinstance(route, Route)]
    app = Starlette(routes=routes, middleware=[Middleware(_Abreast, jobs=jobs)])
    app.state.rooms = rooms
    return app


class _Abreast:
    """Has each request find the jobs that run now: one may ask before standard input was read."""

    def __init__(self, app: ASGIApp, jobs: _Jobs) -> None:
        self._app = app
        self._jobs = jobs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._jobs.catch_up()
        await self._app(scope, receive, send)


async def _forget_killed(settings: ServerSettings, folder: DataFolder) -> None:
    """Nobody else is there: what is left of other runs is of killed ones."""
    async with open_services(settings, folder, SystemClock()) as services:
        async with services.rooms.database.read() as connection:
            left = await local_runs.list_runs(connection)
        for run in left:
            await _forget(services.rooms, run)


async def _forget(rooms: Rooms, run: int) -> None:
    """Remove all that is the run's own."""
    async with rooms.changes.begin() as change:
        owned, _ = await retention.list_of_run(change.connection, run)
        await retention.forget_run(change.connection, run)
    for artifact in owned:
        await rooms.data.uploads.remove_all(ARTIFACTS, stored_artifact(artifact))


def _take(lock: int) -> bool:
    """Hold the folder alone, to make it ready; whether no other run is there (else wait until it is ready, and share it)."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(lock, fcntl.LOCK_SH)
        return False
    return True


def _read_line() -> bytes:
    """The first line of standard input, and nothing behind it."""
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(_ORDERS, 1)
        if not data:
            raise SystemExit(0)  # the run has ended before it was told
        line += data
    return line


if __name__ == "__main__":
    main()
