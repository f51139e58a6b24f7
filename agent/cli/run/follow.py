"""A run on the server, followed live: its events, and the output of each of its jobs, merged onto one screen.

One thread a stream puts what comes into a box; the caller's thread shows it. Who shows slowly is not run over: a full
box lets the streams wait, and the server reads on when they do. Streams reconnect by themselves from the last event
that came, so a server restart in the middle is not seen.
"""

import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TextIO

from agent.cli.client import Client, Contact
from agent.cli.run.list import duration_of
from agent.cli.run.stage_rates import StageRates
from agent.cli.terminal.screen import Screen
from agent.errors import AgentError, InterruptedByUserError
from agent.journal.lines import Lines
from agent.spec.status import JobStatus

_Item = tuple[str, Any]
_TICK_SECONDS = 0.1
_MOST_WAITING = 1000  # records


def follow_run(client: Client, run: int, screen: Screen) -> str:
    """Show the run until it has ended; give its conclusion.

    Raises NotFoundError, UnreachableError when the server doesn't answer at once, or stays away later on, and
    InterruptedByUserError at ctrl-C: the run goes on.
    """
    client.get(f"/api/v1/runs/{run}")  # who can't be reached now is not waited for
    try:
        return _Follower(client, run, screen).follow()
    except KeyboardInterrupt:
        raise InterruptedByUserError(
            f"stopped following; run {run} goes on", hint=f"`agent run cancel {run}` ends it"
        ) from None


def follow_job(client: Client, job: str, screen: Screen) -> None:
    """Show the output of one job, from its beginning to its end."""
    for event in client.events(f"/api/v1/jobs/{job}/events"):
        screen.show(event.data)


def show_job_so_far(client: Client, job: str, screen: Screen) -> None:
    """Show what a job has printed until now, step by step."""
    details = client.get(f"/api/v1/jobs/{job}")
    key = details["key"]
    for step in details["steps"]:
        record = _step_record(key, step)
        screen.show({**record, "state": "running"})
        lines = Lines()
        for _place, chunk in client.fetch(f"/api/v1/jobs/{job}/log?step={step['step']}"):
            _show_lines(screen, record, lines.feed(chunk))
        _show_lines(screen, record, lines.finish())
        if step["state"] == "completed":
            screen.show(record)


def write_raw_log(client: Client, job: str, out: TextIO) -> None:
    """Write the bytes that a job has printed until now."""
    out.flush()
    for _place, chunk in client.fetch(f"/api/v1/jobs/{job}/log"):
        out.buffer.write(chunk)


def _step_record(key: str, step: Mapping[str, Any]) -> dict[str, Any]:
    """The public record that says the same as the server's view of a step."""
    same = ("name", "state", "outcome", "conclusion", "seconds", "outputs", "parent")
    began = datetime.fromisoformat(step["started"]).timestamp() if step["started"] else 0.0
    named = {"kind": "step", "job": key, "step": step["id"], "index": step["step"]}
    return {**named, **{name: step[name] for name in same}, "time": began}


def _show_lines(screen: Screen, step: Mapping[str, Any], lines: list[bytes]) -> None:
    about = {name: step[name] for name in ("job", "step", "time")}
    for line in lines:
        screen.show({"kind": "log", **about, "text": line.decode("utf-8", "replace")})


class _Follower:
    def __init__(self, client: Client, run: int, screen: Screen) -> None:
        self._client = client
        self._run = run
        self._screen = screen
        self._box = _Box()
        self._open = 0
        self._streamed: set[str] = set()
        self._waiting: dict[str, str] = {}
        self._shown: set[str] = set()  # keys of the jobs whose output comes
        self._next: dict[str, str] = {}  # why their next attempts wait, until it has come
        self._rates = StageRates()
        self._silent: set[str] = set()  # the streams that the server gives no answer to

    def follow(self) -> str:
        """Show everything; the run's end is shown after the last line of the last job."""
        self._stream("run", f"/api/v1/runs/{self._run}/events")
        last: Mapping[str, Any] = {}
        while self._open:
            self._screen.tick()
            for kind, data in self._box.take(_TICK_SECONDS):
                if kind == "closed":
                    self._open -= 1
                elif kind == "error":
                    raise data
                elif kind == "record":
                    self._show_record(data)
                elif kind == "job":
                    self._show_job(data)
                elif kind == "waiting":
                    self._show_waiting(data["job"], data["reason"])
                elif kind == "run":
                    last = data
                else:
                    self._show_more(kind, data)
        view = self._client.get(f"/api/v1/runs/{self._run}")
        self._screen.show(run_record(view))
        return str(view["conclusion"] or last.get("conclusion"))

    def _show_more(self, kind: str, data: Any) -> None:
        """What comes beside jobs and their output; of a newer server also what nobody here knows."""
        if kind == "stages":
            self._screen.show(self._rates.measure(data))
        elif kind == "contact":
            self._show_contact(*data)

    def _show_job(self, job: Mapping[str, Any]) -> None:
        waiting = job["waiting"] or ""
        if waiting and job["status"] == JobStatus.QUEUED:
            self._show_waiting(job["key"], waiting)
        if job["started"] and job["id"] not in self._streamed:
            self._streamed.add(job["id"])
            self._shown.add(job["key"])
            if job["attempt"] > 1:
                self._screen.show({"kind": "attempt", "job": job["key"], "attempt": job["attempt"]})
            self._stream("record", f"/api/v1/jobs/{job['id']}/events")
        elif job["conclusion"] and not job["started"] and job["id"] not in self._streamed:
            self._streamed.add(job["id"])
            self._screen.show({"kind": "job", "job": job["key"], **_ending(job)})

    def _show_record(self, record: Mapping[str, Any]) -> None:
        self._screen.show(record)
        if record["kind"] == "job":
            self._shown.discard(record["job"])
            if reason := self._next.pop(record["job"], ""):
                self._show_waiting(record["job"], reason)

    def _show_waiting(self, key: str, reason: str) -> None:
        if key in self._shown:  # the run is ahead of the job's output
            self._next[key] = reason
            return
        if self._waiting.get(key) != reason:
            self._waiting[key] = reason
            self._screen.show({"kind": "waiting", "job": key, "reason": reason})

    def _show_contact(self, path: str, contact: Contact) -> None:
        """One word when the server can't be reached, however many streams notice, and one when it can again."""
        was_silent = bool(self._silent)
        (self._silent.add if contact is Contact.LOST else self._silent.discard)(path)
        if bool(self._silent) is was_silent:
            return
        message = (
            "the server can't be reached; trying again, and the run goes on"
            if self._silent
            else "the server is there again"
        )
        self._screen.show({"kind": "warning", "message": message})

    def _stream(self, kind: str, path: str) -> None:
        self._open += 1
        threading.Thread(target=self._read, args=(kind, path), daemon=True).start()

    def _read(self, kind: str, path: str) -> None:
        def hear(contact: Contact) -> None:
            self._box.put(("contact", (path, contact)))

        try:
            for event in self._client.events(path, on_contact=hear):
                self._box.put((event.name if kind == "run" else kind, event.data))
        except AgentError as error:
            self._box.put(("error", error))
        hear(Contact.THERE)  # nothing is expected of it any more
        self._box.put(("closed", None))


class _Box:
    """Items on their way from the threads of the streams to the one that shows them: a bounded number."""

    def __init__(self) -> None:
        self._items: deque[_Item] = deque()
        self._changed = threading.Condition()

    def put(self, item: _Item) -> None:
        """Add an item, once there is room for it."""
        with self._changed:
            while len(self._items) >= _MOST_WAITING:
                self._changed.wait()
            self._items.append(item)
            if len(self._items) == 1:
                self._changed.notify_all()

    def take(self, timeout_seconds: float) -> list[_Item]:
        """All that is there; none when nothing has come in time."""
        with self._changed:
            if not self._items:
                self._changed.wait(timeout_seconds)
            items = list(self._items)
            self._items.clear()
            self._changed.notify_all()
        return items


def run_record(view: Mapping[str, Any]) -> dict[str, Any]:
    """The closing record of a run, from the server's view of it."""
    jobs = {job["key"]: {"conclusion": job["conclusion"], "outputs": job["outputs"]} for job in view["jobs"]}
    named = {"run": view["id"], "name": view["run_name"]}
    seconds = duration_of(view, time.time())
    return {"kind": "run", **named, "conclusion": view["conclusion"], "jobs": jobs, "seconds": seconds}


def _ending(job: Mapping[str, Any]) -> dict[str, Any]:
    return {name: job[name] for name in ("conclusion", "outputs", "failure_kind", "message")}
