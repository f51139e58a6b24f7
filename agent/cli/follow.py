"""A run on the server, followed live: its events, and the output of each of its jobs, merged onto one screen.

One thread a stream puts what comes into a queue; the caller's thread shows it. Streams reconnect by themselves from
the last event that came, so a server restart in the middle is not seen.
"""

import queue
import threading
from collections.abc import Mapping
from typing import Any

from agent.cli.client import Client
from agent.cli.screen import Screen
from agent.errors import AgentError

_Item = tuple[str, Any]
_TICK_SECONDS = 0.1


def follow_run(client: Client, run: int, screen: Screen) -> str:
    """Show the run until it has ended; give its conclusion. Raises UnreachableError when the server stays away."""
    return _Follower(client, run, screen).follow()


def follow_job(client: Client, job: str, screen: Screen) -> None:
    """Show the output of one job, from its beginning to its end."""
    for event in client.events(f"/api/v1/jobs/{job}/events"):
        screen.show(event.data)


class _Follower:
    def __init__(self, client: Client, run: int, screen: Screen) -> None:
        self._client = client
        self._run = run
        self._screen = screen
        self._items: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._open = 0
        self._streamed: set[str] = set()
        self._waiting: dict[str, str] = {}

    def follow(self) -> str:
        """Show everything; the run's end is shown after the last line of the last job."""
        self._stream("run", f"/api/v1/runs/{self._run}/events")
        last: Mapping[str, Any] = {}
        while self._open:
            self._screen.tick()
            try:
                kind, data = self._items.get(timeout=_TICK_SECONDS)
            except queue.Empty:
                continue
            if kind == "closed":
                self._open -= 1
            elif kind == "error":
                raise data
            elif kind == "record":
                self._screen.show(data)
            elif kind == "job":
                self._show_job(data)
            elif kind == "waiting":
                self._show_waiting(data["job"], data["reason"])
            elif kind == "run":
                last = data
        view = self._client.get(f"/api/v1/runs/{self._run}")
        self._screen.show(run_record(view))
        return str(view["conclusion"] or last.get("conclusion"))

    def _show_job(self, job: Mapping[str, Any]) -> None:
        waiting = job["waiting"] or ""
        if waiting and job["status"] == "queued":
            self._show_waiting(job["key"], waiting)
        if job["started"] and job["id"] not in self._streamed:
            self._streamed.add(job["id"])
            self._stream("record", f"/api/v1/jobs/{job['id']}/events")
        elif job["conclusion"] and not job["started"] and job["id"] not in self._streamed:
            self._streamed.add(job["id"])
            self._screen.show({"kind": "job", "job": job["key"], **_ending(job)})

    def _show_waiting(self, key: str, reason: str) -> None:
        if self._waiting.get(key) != reason:
            self._waiting[key] = reason
            self._screen.show({"kind": "waiting", "job": key, "reason": reason})

    def _stream(self, kind: str, path: str) -> None:
        self._open += 1
        threading.Thread(target=self._read, args=(kind, path), daemon=True).start()

    def _read(self, kind: str, path: str) -> None:
        try:
            for event in self._client.events(path):
                self._items.put((event.name if kind == "run" else kind, event.data))
        except AgentError as error:
            self._items.put(("error", error))
        self._items.put(("closed", None))


def run_record(view: Mapping[str, Any]) -> dict[str, Any]:
    """The closing record of a run, from the server's view of it."""
    jobs = {job["key"]: {"conclusion": job["conclusion"], "outputs": job["outputs"]} for job in view["jobs"]}
    named = {"run": view["id"], "name": view["run_name"]}
    return {"kind": "run", **named, "conclusion": view["conclusion"], "jobs": jobs}


def _ending(job: Mapping[str, Any]) -> dict[str, Any]:
    return {name: job[name] for name in ("conclusion", "outputs", "failure_kind", "message")}
