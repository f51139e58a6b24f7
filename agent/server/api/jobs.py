"""`/api/v1/jobs`: a job, its output as text, and its journal as it grows."""

import json
from collections.abc import AsyncIterator

import msgspec
from starlette.responses import Response, StreamingResponse

from agent.errors import DamagedError, NotFoundError
from agent.journal.format import Closed, Log, Record
from agent.journal.public import PublicRecord, PublicRecords
from agent.server.api import event_streams
from agent.server.auth.access import Access
from agent.server.call import Call, view_response
from agent.server.journals import read_records
from agent.server.live import job_topic
from agent.server.operation import EVENTS, TEXT, V1, Operation
from agent.server.services import Services
from agent.server.store import agents, jobs, records
from agent.server.views import JobView, StepView, view_job, view_step
from agent.spec.outcome import Conclusion, FailureKind, JobResult


class JobDetails(JobView, kw_only=True):
    """A job with what its journal says."""

    steps: list[StepView]
    annotations: list[object]
    summary: str


async def show_job(call: Call) -> Response:
    """A job with its steps and annotations."""
    job = call.text("job")
    async with call.services.database.read() as connection:
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
    """The job's output so far, as plain text."""
    row = await _find(call.services, call.text("job"))
    output = _output(call.services, row)
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    return StreamingResponse(output, media_type="text/plain; charset=utf-8", headers=headers)


async def follow_job(call: Call) -> Response:
    """The job's journal as it grows: a record an event, its id the journal's offset behind it."""
    row = await _find(call.services, call.text("job"))
    after = event_streams.last_event_id(call)
    return event_streams.stream_response(_follow(call.services, row.id, after))


async def _find(services: Services, job: str) -> jobs.JobRow:
    async with services.database.read() as connection:
        row = await jobs.find_job(connection, job)
    if row is None:
        raise NotFoundError(f"there is no job {job}")
    return row


async def _follow(services: Services, job: str, after: int) -> AsyncIterator[bytes]:
    """Events behind `after`. The journal is read from its start: lines may be cut anywhere between its records."""
    row = await _find(services, job)
    public, offset, lease, is_closed = PublicRecords(row.key), 0, row.lease, False
    with services.bus.listen(job_topic(job)) as listener:
        while not services.bus.is_closing:
            row = await _find(services, job)
            if row.lease != lease:
                public, offset, lease = PublicRecords(row.key), 0, row.lease
            found = await _records(services, job, lease, offset)
            for end, record in found:
                offset, is_closed = end, isinstance(record, Closed)
                events = list(public.convert(record))
                if events and end > after:
                    yield _events_of(events, end)
            if found:
                continue
            if row.status == "completed":
                if not is_closed:
                    yield _events_of(list(public.convert(_closing(row))), offset)
                yield event_streams.END
                return
            if not await listener.wait(event_streams.HEARTBEAT_SECONDS):
                yield event_streams.HEARTBEAT


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


async def _output(services: Services, row: jobs.JobRow) -> AsyncIterator[bytes]:
    offset = 0
    while found := await _records(services, row.id, row.lease, offset):
        offset = found[-1][0]
        yield b"".join(record.data for _, record in found if isinstance(record, Log))


async def _records(services: Services, job: str, lease: int, offset: int) -> list[tuple[int, Record]]:
    if lease == 0:
        return []
    try:
        return await read_records(services.journals, job, lease, offset)
    except DamagedError:
        return []  # the ledger has said so in the job's message; what is whole has been shown


_PATH = f"{V1}/jobs/{{job}}"
OPERATIONS = (
    Operation("GET", _PATH, Access.VIEWER, show_job, answers={200: JobDetails}),
    Operation("GET", f"{_PATH}/log", Access.VIEWER, show_log, answers={200: TEXT}),
    Operation(
        "GET",
        f"{_PATH}/events",
        Access.VIEWER,
        follow_job,
        query=event_streams.Resume,
        answers={200: EVENTS},
    ),
)
