"""The status page: runs, the queue with its reasons, agents; a run with its jobs; a job with its steps and its last output."""

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from agent.errors import AgentError, UsageError
from agent.journal.lines import Lines
from agent.journal.rows import MOVES
from agent.server.agents.agent_reading import AgentAtWork
from agent.server.events.views import JobView, RunView
from agent.server.http.call import Call, view_response
from agent.server.http.forms import read_form
from agent.server.http.operation import Operation
from agent.server.http.rooms import Rooms
from agent.server.people.auth.access import Access, nothing_there
from agent.server.process.moments import read_moment, shown_moment
from agent.server.process.problems import ConflictError, TooLargeError, status_of
from agent.server.runs.run_reading import JobInQueue
from agent.server.web.pages import HTML, redirect, render, wants_page
from agent.server.web.questions import show_questions, take_answer
from agent.spec.resources import inventory_from_json
from agent.spec.room import explain_withheld
from agent.spec.status import JobStatus, RunStatus

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
    wanted, rooms = call.query(StatusQuery).project, call.rooms
    names = await rooms.people.projects.list_names(call.caller)
    chosen = {number: name for number, name in names.items() if wanted in ("", name)}
    if wanted and not chosen:
        raise nothing_there()
    runs = await rooms.runs.reading.list_newest(chosen, _MOST_RUNS)
    waiting = await rooms.runs.reading.list_waiting(chosen)
    agents = await rooms.agents.reading.list_at_work(call.caller)
    now = rooms.clock.now()
    return render(
        call,
        "status.html",
        projects=sorted(names.values()),
        chosen=wanted,
        runs=[_shown_run(run, project, now) for project, run in runs],
        waiting=[_shown_wait(job, now) for job in waiting[:_MOST_WAITING]],
        more_waiting=max(len(waiting) - _MOST_WAITING, 0),
        agents=[_shown_agent(one, now) for one in agents],
    )


async def show_run_page(call: Call) -> Response:
    """A run with its jobs, and why those that wait do so."""
    details = await call.rooms.runs.reading.load(call.number("run"))
    shown = _shown_run(details, call.project.name, call.rooms.clock.now())
    asked = await show_questions(call, details.id) if details.status == RunStatus.RUNNING else []
    stages = await call.rooms.streams.figure_reading.list_of_run(details.id)
    return render(
        call, "run.html", run=shown, details=details, asked=asked, stages=stages, project=call.project.name
    )


async def show_job_page(call: Call) -> Response:
    """A job with its steps and the end of its output."""
    return await _show_job(call)


async def leave_answer(call: Call) -> Response:
    """Back to the job, for who reloads the page on which an answer was not taken."""
    return redirect(f"/status/jobs/{call.text('job')}")


async def answer_on_page(call: Call) -> Response:
    """Fill in the form that a step of the job waits for; what is wrong is said on the job's page."""
    try:
        return await take_answer(call)
    except (UsageError, ConflictError, TooLargeError) as error:
        return await _show_job(call, error, await read_form(call.request))


async def _show_job(
    call: Call, error: AgentError | None = None, filled: Mapping[str, str] | None = None
) -> Response:
    job = await call.rooms.runs.jobs.load(call.text("job"))
    lines = await _last_lines(call.rooms, job)
    is_running = job.status is JobStatus.RUNNING
    return render(
        call,
        "job.html",
        200 if error is None else status_of(error),
        job=job,
        asked=await show_questions(call, job.run, job.id or "", filled=filled) if is_running else [],
        mistake="" if error is None else f"{error.what}{f'; {error.hint}' if error.hint else ''}",
        agent=job.agent or "",
        state_name=job.conclusion or job.status,
        steps=[
            {
                "number": step.step,
                "name": step.name,
                "state": step.conclusion or step.state,
                "took": _duration(step.seconds),
            }
            for step in job.steps
        ],
        lines=lines,
        is_cut=len(lines) == _MOST_LINES,
        silence="" if lines else await _explain_silence(call.rooms, job),
        project=call.project.name,
    )


def _shown_run(run: RunView, project: str, now: float) -> dict[str, object]:
    end = now if run.finished is None else read_moment(run.finished)
    return {
        "id": run.id,
        "number": run.number,
        "title": run.name,
        "name": run.run_name,
        "project": project,
        "event": run.event,
        "deployment": run.deployment,
        "actor": run.actor,
        "state": run.conclusion or run.status,
        "reason": run.cancel_reason or "",
        "created": shown_moment(run.created or ""),
        "took": "" if run.started is None else _duration(end - read_moment(run.started)),
    }


def _shown_wait(job: JobInQueue, now: float) -> dict[str, object]:
    return {
        "run": job.run,
        "id": job.id,
        "key": job.key,
        "reason": job.reason or "was queued just now",
        "since": _duration(now - job.queued_at),
    }


def _shown_agent(one: AgentAtWork, now: float) -> dict[str, object]:
    agent = one.agent
    gpus = inventory_from_json(agent.inventory).gpus
    names = [gpu.name for gpu in gpus]
    return {
        "name": agent.name,
        "state": agent.status,
        "gpus": ", ".join(names) or "none",
        "withheld": explain_withheld(gpus),
        "jobs": [{"id": job, "key": key} for job, key in one.jobs.items()],
        "seen": f"{_duration(now - read_moment(agent.last_seen or ''))} ago"
        if agent.status == "offline"
        else "now",
    }


async def _last_lines(rooms: Rooms, job: JobView) -> list[str]:
    """The end of the output, each line in its last state; where several are written over together, more is read for it."""
    text = await rooms.data.logs.tail(job.id or "", job.lease, _MOST_LINES)
    if MOVES.search(text):
        text = await rooms.data.logs.tail(job.id or "", job.lease, _MOST_LINES * _MOST_STATES)
    lines = Lines()
    short = b"\n".join(_cut(line) for line in text.split(b"\n"))[-_MOST_BYTES:]
    shown = [*lines.feed(short), *lines.finish()]
    return [line[:_LONGEST_LINE].decode("utf-8", "replace") for line in shown[-_MOST_LINES:]]


def _cut(line: bytes) -> bytes:
    """Of a line that is written over without end, its last states."""
    if len(line) > _MOST_STATES_BYTES and b"\r" in line:
        line = line[-_MOST_STATES_BYTES:].partition(b"\r")[2]
    return line[:_MOST_STATES_BYTES]


async def _explain_silence(rooms: Rooms, job: JobView) -> str:
    """Why a job has no output to show."""
    if job.status is not JobStatus.COMPLETED:
        return "Nothing yet."
    if await rooms.data.logs.is_gone(job.id or "", job.lease):
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
        "/status/runs/{run:run}",
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
    Operation(
        "GET",
        "/status/jobs/{job}/answer",
        Access.VIEWER,
        leave_answer,
        answers={303: None},
        documented=False,
        is_page=True,
    ),
    Operation(
        "POST",
        "/status/jobs/{job}/answer",
        Access.RUNNER,
        answer_on_page,
        answers={303: None, 409: HTML, 413: HTML, 422: HTML},
        documented=False,
        is_page=True,
    ),
)
