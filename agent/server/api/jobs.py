"""`/api/v1/jobs`: a job, its output as text, and its journal as it grows."""

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from starlette.responses import Response, StreamingResponse

from agent.server.api import event_streams
from agent.server.data.charts.view import ChartView
from agent.server.http.call import Call, view_response
from agent.server.http.operation import EVENTS, TEXT, V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.problems import MalformedError
from agent.server.runs.job_reading import JobDetails

_Second = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
_Line = Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]


class LogQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which lines: from `from_line` on (the first is 1) at most `lines`, or the last `tail`; of one step, by its index."""

    from_line: _Line = 1
    lines: _Line | None = None
    step: Annotated[int, msgspec.Meta(ge=0, le=1 << 31)] | None = None
    tail: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None


async def show_job(call: Call) -> Response:
    """A job with its steps and annotations."""
    return view_response(await call.rooms.runs.jobs.load(call.text("job")))


async def show_log(call: Call) -> Response:
    """The job's output so far, as plain text: all of it, some lines, or the last ones."""
    query = call.query(LogQuery)
    if query.tail is not None and (query.from_line != 1 or query.lines is not None):
        raise MalformedError("`tail` goes with neither `from_line` nor `lines`")
    of, logs = await call.rooms.runs.jobs.find_journal(call.text("job")), call.rooms.data.logs
    if query.tail is not None:
        output = _once(await logs.tail(of.job, of.lease, query.tail, query.step))
    else:
        output = logs.text(of.job, of.lease, first=query.from_line, count=query.lines, step=query.step)
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    return StreamingResponse(output, media_type="text/plain; charset=utf-8", headers=headers)


class MetricsQuery(msgspec.Struct, forbid_unknown_fields=True, rename={"start": "from", "end": "to"}):
    """From when until when (seconds since 1970; all of it where they are left out), in how many points at most."""

    start: _Second | None = None
    end: _Second | None = None
    points: Annotated[int, msgspec.Meta(ge=2, le=2000)] = 500


async def show_metrics(call: Call) -> Response:
    """What the job's processes and GPUs did, as points of a chart: the finest that there are for that time."""
    query = call.query(MetricsQuery)
    of = await call.rooms.runs.jobs.find_journal(call.text("job"))
    charts = call.rooms.data.charts
    return view_response(await charts.view(of.job, of.lease, query.start, query.end, query.points))


async def follow_job(call: Call) -> Response:
    """The job's journal as it grows: a record an event, its id the journal's offset behind it."""
    of = await call.rooms.runs.jobs.find_journal(call.text("job"))
    after = event_streams.last_event_id(call)
    events = call.rooms.data.live_logs.follow(call.rooms.runs.jobs.find_journal, of.job, after)
    return event_streams.stream_response(events)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


_PATH = f"{V1}/jobs/{{job}}"
OPERATIONS = (
    Operation("GET", _PATH, Access.VIEWER, show_job, answers={200: JobDetails}),
    Operation("GET", f"{_PATH}/log", Access.VIEWER, show_log, query=LogQuery, answers={200: TEXT}),
    Operation(
        "GET",
        f"{_PATH}/metrics",
        Access.VIEWER,
        show_metrics,
        query=MetricsQuery,
        answers={200: ChartView},
    ),
    Operation(
        "GET",
        f"{_PATH}/events",
        Access.VIEWER,
        follow_job,
        query=event_streams.Resume,
        answers={200: EVENTS},
    ),
)
