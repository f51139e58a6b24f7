"""`/api/v1/jobs`: a job, its output as text, and its journal as it grows."""

import json
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from starlette.responses import Response, StreamingResponse

from agent.errors import NotFoundError
from agent.journal.format import Closed
from agent.journal.public import PublicRecord, PublicRecords
from agent.server.api import event_streams
from agent.server.events.live import job_topic
from agent.server.events.views import JobView, StepView, view_job, view_step
from agent.server.http.call import Call, view_response
from agent.server.http.operation import EVENTS, TEXT, V1, Operation
from agent.server.http.rooms import Rooms
from agent.server.people.auth.access import Access
from agent.server.process.problems import MalformedError
from agent.server.store import agents, jobs, records
from agent.spec.outcome import Conclusion, FailureKind, JobResult
from agent.spec.status import JobStatus

_Line = Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]


class LogQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which lines: from `from_line` on (the first is 1) at most `lines`, or the last `tail`; of one step, by its index."""

    from_line: _Line = 1
    lines: _Line | None = None
    step: Annotated[int, msgspec.Meta(ge=0, le=1 << 31)] | None = None
    tail: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None


class JobDetails(JobView, kw_only=True):
    """A job with what its journal says."""

    steps: list[StepView]
    annotations: list[object]
    summary: str


async def show_job(call: Call) -> Response:
    """A job with its steps and annotations."""
    job = call.text("job")
    async with call.rooms.database.read() as connection:
        row = await jobs.find_job(connection, job)
        if row is None:
            raise NotFoundError(f"there is no job {job}")
        steps = await records.list_steps(connection, row.id, row.lease)
        annotations = await records.list_annotations(connection, row.id, row.lease)
        summary = await records.list_summaries(connection, row.id, row.lease)
        names = await agents.names_of(connection, [row.agent])
    return view_response(
        JobDetails(
            **msgspec.structs.asdict(view_job(row, names)),
            steps=[view_step(step) for step in steps],
            annotations=annotations,
            summary="\n".join(summary),
        )
    )


async def show_log(call: Call) -> Response:
    """The job's output so far, as plain text: all of it, some lines, or the last ones."""
    query = call.query(LogQuery)
    if query.tail is not None and (query.from_line != 1 or query.lines is not None):
        raise MalformedError("`tail` goes with neither `from_line` nor `lines`")
    row = await _find(call.rooms, call.text("job"))
    logs = call.rooms.data.logs
    if query.tail is not None:
        output = _once(await logs.tail(row.id, row.lease, query.tail, query.step))
    else:
        output = logs.text(row.id, row.lease, first=query.from_line, count=query.lines, step=query.step)
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    return StreamingResponse(output, media_type="text/plain; charset=utf-8", headers=headers)


async def follow_job(call: Call) -> Response:
    """The job's journal as it grows: a record an event, its id the journal's offset behind it."""
    row = await _find(call.rooms, call.text("job"))
    after = event_streams.last_event_id(call)
    return event_streams.stream_response(_follow(call.rooms, row.id, after))


async def _find(rooms: Rooms, job: str) -> jobs.JobRow:
    async with rooms.database.read() as connection:
        row = await jobs.find_job(connection, job)
    if row is None:
        raise NotFoundError(f"there is no job {job}")
    return row


async def _follow(rooms: Rooms, job: str, after: int) -> AsyncIterator[bytes]:
    """Events behind `after`. The journal is read from where the lines that end there begin."""
    row = await _find(rooms, job)
    start = await rooms.data.logs.resume(row.id, row.lease, after)
    public, offset = PublicRecords(row.key, start.step_ids), start.offset
    lease, is_closed = row.lease, False
    with rooms.bus.listen(job_topic(job)) as listener:
        while not rooms.bus.is_closing:
            row = await _find(rooms, job)
            if row.lease != lease:
                public, offset, lease = PublicRecords(row.key), 0, row.lease
            before = offset
            async for found in rooms.data.logs.read(job, lease, offset):
                for end, record in found:
                    offset, is_closed = end, isinstance(record, Closed)
                    events = list(public.convert(record))
                    if events and end > after:
                        yield _events_of(events, end)
            if offset > before:
                continue
            if row.status is JobStatus.COMPLETED:
                yield _end_of(public, row, offset, is_closed=is_closed)
                return
            for moved in public.progress():  # for who has seen all the rest: it is no part of the journal
                yield event_streams.event_bytes("progress", moved, None)
            if not await listener.wait(event_streams.HEARTBEAT_SECONDS):
                yield event_streams.HEARTBEAT


def _end_of(public: PublicRecords, row: jobs.JobRow, offset: int, *, is_closed: bool) -> bytes:
    """The end of the stream; before it the last word that the journal does not have."""
    last = b"" if is_closed else _events_of(list(public.convert(_closing(row))), offset)
    return last + event_streams.END


def _events_of(events: list[PublicRecord], end: int) -> bytes:
    """The events that one journal record gives; only the last has the id, so that none is skipped at a resume."""
    ids = [*[None] * (len(events) - 1), end]
    return b"".join(
        event_streams.event_bytes(event["kind"], event, event_id)
        for event, event_id in zip(events, ids, strict=True)
    )


def _closing(row: jobs.JobRow) -> Closed:
    """The last word on a job whose journal has none: it was lost, or cancelled before it began."""
    result = JobResult(
        Conclusion(row.conclusion or Conclusion.FAILURE),
        json.loads(row.outputs),
        FailureKind(row.failure_kind) if row.failure_kind else None,
        row.message,
    )
    return Closed(int((row.finished_at or 0) * 1000), result)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


_PATH = f"{V1}/jobs/{{job}}"
OPERATIONS = (
    Operation("GET", _PATH, Access.VIEWER, show_job, answers={200: JobDetails}),
    Operation("GET", f"{_PATH}/log", Access.VIEWER, show_log, query=LogQuery, answers={200: TEXT}),
    Operation(
        "GET",
        f"{_PATH}/events",
        Access.VIEWER,
        follow_job,
        query=event_streams.Resume,
        answers={200: EVENTS},
    ),
)
