"""The status page: runs, the queue with its reasons, agents; a run with its jobs; a job with its steps and its last output."""

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError
from agent.journal.lines import Lines
from agent.journal.rows import MOVES
from agent.server.events.views import shown_time
from agent.server.http.call import Call, view_response
from agent.server.http.operation import Operation
from agent.server.http.rooms import Rooms
from agent.server.people.auth.access import Access, Caller, nothing_there
from agent.server.runs.run_details import load_run
from agent.server.store import agents, jobs, projects, queue, records, runs
from agent.server.store.jobs import JobRow
from agent.server.store.projects import ProjectRow
from agent.server.web.pages import HTML, redirect, render, wants_page
from agent.spec.status import JobStatus

_MOST_RUNS = 30
_MOST_WAITING = 50
_MOST_LINES = 200
_LONGEST_LINE = 2000
_MOST_STATES_BYTES = 8000  # of a line
_MOST_STATES = 20  # of several lines at once
_MOST_BYTES = 1 << 20


class StatusQuery(msgspec.Struct):
    """Which project; empty: all that the caller may see."""

    project: str = ""


class Product(msgspec.Struct):
    """What this is."""

    product: str
    version: str
    api: str


async def show_start(call: Call) -> Response:
    """What this is and where its API begins; for browsers the status page."""
    from agent import __version__

    if wants_page(call.request):
        return redirect("/status")
    return view_response(Product("flow-agent", __version__, f"{call.base_url}/api/v1"))


async def show_status(call: Call) -> Response:
    """The newest runs, the queue, and the agents."""
    wanted = call.query(StatusQuery).project
    async with call.rooms.database.read() as connection:
        names = {row.id: row.name for row in _visible(await projects.list_projects(connection), call.caller)}
        chosen = {number: name for number, name in names.items() if wanted in ("", name)}
        if wanted and not chosen:
            raise nothing_there()
        rows = await runs.list_newest(connection, list(chosen), _MOST_RUNS)
        waiting = [row for row in await queue.list_queued(connection) if row.project in chosen]
        machines = await agents.list_agents(connection)
        connected = await call.rooms.agents.peers.connected(connection)
        held = [row for row in await jobs.list_active(connection) if row.project in names]
    now = call.rooms.clock.now()
    return render(
        call,
        "status.html",
        projects=sorted(names.values()),
        chosen=wanted,
        runs=[_shown_run(row, names[row.project], now) for row in rows],
        waiting=[_shown_wait(row, now) for row in waiting[:_MOST_WAITING]],
        more_waiting=max(len(waiting) - _MOST_WAITING, 0),
        agents=[_shown_agent(row, held, row.id in connected, now) for row in machines],
    )


async def show_run_page(call: Call) -> Response:
    """A run with its jobs, and why those that wait do so."""
    details = await load_run(
        call.rooms.database, call.rooms.runs.runs, call.number("run"), now=call.rooms.clock.now()
    )
    async with call.rooms.database.read() as connection:
        row = await runs.find_run(connection, details.id)
    if row is None:
        raise NotFoundError(f"there is no run {details.id}")
    shown = _shown_run(row, call.project.name, call.rooms.clock.now())
    return render(call, "run.html", run=shown, details=details, project=call.project.name)


async def show_job_page(call: Call) -> Response:
    """A job with its steps and the end of its output."""
    async with call.rooms.database.read() as connection:
        row = await jobs.find_job(connection, call.text("job"))
        if row is None:
            raise NotFoundError("there is no such job")
        steps = await records.list_steps(connection, row.id, row.lease)
        names = await agents.names_of(connection, [row.agent])
    lines = await _last_lines(call.rooms, row)
    return render(
        call,
        "job.html",
        job=row,
        agent=names.get(row.agent or "", ""),
        state_name=row.conclusion or row.status,
        steps=[
            {
                "number": step.step,
                "name": step.name,
                "state": step.conclusion or step.state,
                "took": _duration(step.seconds),
            }
            for step in steps
        ],
        lines=lines,
        is_cut=len(lines) == _MOST_LINES,
        silence="" if lines else await _explain_silence(call.rooms, row),
        project=call.project.name,
    )


def _visible(rows: list[ProjectRow], caller: Caller) -> list[ProjectRow]:
    return [row for row in rows if caller.role_in(row.id) is not None]


def _shown_run(row: runs.RunRow, project: str, now: float) -> dict[str, object]:
    end = row.finished_at if row.finished_at is not None else now
    return {
        "id": row.id,
        "number": row.number,
        "title": row.title,
        "name": row.run_name or row.title,
        "project": project,
        "event": row.event,
        "actor": row.actor,
        "state": row.conclusion or row.status,
        "reason": row.cancel_reason or "",
        "created": shown_time(row.created_at),
        "took": "" if row.started_at is None else _duration(end - row.started_at),
    }


def _shown_wait(row: queue.QueuedRow, now: float) -> dict[str, object]:
    return {
        "run": row.run,
        "id": row.id,
        "key": row.key,
        "reason": row.waiting or "was queued just now",
        "since": _duration(now - row.queued_at),
    }


def _shown_agent(row: agents.AgentRow, held: list[JobRow], is_online: bool, now: float) -> dict[str, object]:  # noqa: FBT001
    inventory = msgspec.json.decode(row.inventory)
    gpus = inventory.get("gpus") or []
    return {
        "name": row.name,
        "state": "offline" if not is_online else "draining" if row.is_draining else "online",
        "gpus": ", ".join(str(gpu.get("name", "GPU")) for gpu in gpus) or "none",
        "jobs": [{"id": job.id, "key": job.key} for job in held if job.agent == row.id],
        "seen": "now" if is_online else f"{_duration(now - row.last_seen_at)} ago",
    }


async def _last_lines(rooms: Rooms, row: JobRow) -> list[str]:
    """The end of the output, each line in its last state; where several are written over together, more is read for it."""
    text = await rooms.data.logs.tail(row.id, row.lease, _MOST_LINES)
    if MOVES.search(text):
        text = await rooms.data.logs.tail(row.id, row.lease, _MOST_LINES * _MOST_STATES)
    lines = Lines()
    short = b"\n".join(_cut(line) for line in text.split(b"\n"))[-_MOST_BYTES:]
    shown = [*lines.feed(short), *lines.finish()]
    return [line[:_LONGEST_LINE].decode("utf-8", "replace") for line in shown[-_MOST_LINES:]]


def _cut(line: bytes) -> bytes:
    """Of a line that is written over without end, its last states."""
    if len(line) > _MOST_STATES_BYTES and b"\r" in line:
        line = line[-_MOST_STATES_BYTES:].partition(b"\r")[2]
    return line[:_MOST_STATES_BYTES]


async def _explain_silence(rooms: Rooms, row: JobRow) -> str:
    """Why a job has no output to show."""
    if row.status is not JobStatus.COMPLETED:
        return "Nothing yet."
    if await rooms.data.logs.is_gone(row.id, row.lease):
        return "The log is gone: it was older, or more, than this project keeps."
    return "It printed nothing."


def _duration(seconds: float | None) -> str:
    """`0.4s`, `12s`, `3m 05s`, `2h 07m`, `3d 4h`."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{max(seconds, 0):.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24}d {hours % 24}h"
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s" if minutes else f"{rest}s"


OPERATIONS = (
    Operation("GET", "/", Access.PUBLIC, show_start, query=None, answers={200: Product, 303: None}),
    Operation(
        "GET",
        "/status",
        Access.MEMBER,
        show_status,
        query=StatusQuery,
        answers={200: HTML},
        documented=False,
        is_page=True,
    ),
    Operation(
        "GET",
        "/status/runs/{run:int}",
        Access.VIEWER,
        show_run_page,
        answers={200: HTML},
        documented=False,
        is_page=True,
    ),
    Operation(
        "GET",
        "/status/jobs/{job}",
        Access.VIEWER,
        show_job_page,
        answers={200: HTML},
        documented=False,
        is_page=True,
    ),
)
