"""`/api/v1/jobs`: a job, its output as text, and its journal as it grows."""

import asyncio
import codecs
from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from agent.errors import DamagedError, NotFoundError
from agent.journal.format import Log, Record
from agent.server.api import event_streams
from agent.server.api.call import Call, json_response
from agent.server.api.records import record_json
from agent.server.live import job_topic
from agent.server.services import Services
from agent.server.store import agents, jobs, records
from agent.server.views import job_json, step_json


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
        names = await agents.names_of(connection)
    return json_response(
        {
            **job_json(row, names),
            "steps": [step_json(step) for step in steps],
            "annotations": annotations,
            "summary": "\n".join(summary),
        }
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
    after = event_streams.last_event_id(call.request)
    return event_streams.stream_response(_follow(call.services, row.id, after))


async def _find(services: Services, job: str) -> jobs.JobRow:
    async with services.database.read() as connection:
        row = await jobs.find_job(connection, job)
    if row is None:
        raise NotFoundError(f"there is no job {job}")
    return row


async def _follow(services: Services, job: str, after: int) -> AsyncIterator[bytes]:
    """Events behind `after`. The journal is read from its start: characters may be cut anywhere between chunks."""
    decoders = _Decoders()
    offset = lease = 0
    with services.bus.listen(job_topic(job)) as listener:
        while not services.bus.is_closing:
            row = await _find(services, job)
            if row.lease != lease:
                decoders, offset, lease = _Decoders(), 0, row.lease
            found = await _records(services, job, lease, offset)
            for end, record in found:
                offset = end
                data = record_json(record, job, decoders.decode)
                if end > after:
                    yield event_streams.event_bytes(str(data["kind"]), data, end)
            if found:
                continue
            if row.status == "completed":
                yield event_streams.END
                return
            if not await listener.wait(event_streams.HEARTBEAT_SECONDS):
                yield event_streams.HEARTBEAT


async def _output(services: Services, row: jobs.JobRow) -> AsyncIterator[bytes]:
    offset = 0
    while found := await _records(services, row.id, row.lease, offset):
        offset = found[-1][0]
        yield b"".join(record.data for _, record in found if isinstance(record, Log))


async def _records(services: Services, job: str, lease: int, offset: int) -> list[tuple[int, Record]]:
    if lease == 0:
        return []
    try:
        return await asyncio.to_thread(services.journals.records, job, lease, offset)
    except DamagedError:
        return []  # the ledger has said so in the job's message; what is whole has been shown


class _Decoders:
    """Output bytes to text, step by step: a character may begin in one chunk and end in the next."""

    def __init__(self) -> None:
        self._by_step: dict[int, codecs.IncrementalDecoder] = {}

    def decode(self, step: int, data: bytes) -> str:
        if step not in self._by_step:
            self._by_step[step] = codecs.getincrementaldecoder("utf-8")("replace")
        return self._by_step[step].decode(data)
