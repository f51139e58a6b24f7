"""`/api/v1/runs/N/records` and `.../stages`: what is known of records that streamed through a run's stages, and of the stages."""

import msgspec
from starlette.responses import Response

from agent.server.http.call import Call, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import Next
from agent.server.streams.figures import StagesOfJob
from agent.server.streams.kept_records import KeptRecordView, RecordQuery

_PATH = f"{V1}/runs/{{run:run}}"


class RecordList(msgspec.Struct):
    """Records of the run, the newest first. A part may be short though there are more: `next` says so."""

    records: list[KeptRecordView]
    next: Next


class RunStages(msgspec.Struct):
    """The stages of the run's jobs, as these said last."""

    jobs: list[StagesOfJob]


async def list_records(call: Call) -> Response:
    """Kept records of the run: the last ones, those that failed, and dead letters."""
    records = call.rooms.streams.records
    return view_response(RecordList(*await records.list_of_run(call.number("run"), call.query(RecordQuery))))


async def show_stages(call: Call) -> Response:
    """How the stages of the run's jobs stand."""
    return view_response(RunStages(await call.rooms.streams.figure_reading.list_of_run(call.number("run"))))


OPERATIONS = (
    Operation(
        "GET", f"{_PATH}/records", Access.VIEWER, list_records, query=RecordQuery, answers={200: RecordList}
    ),
    Operation("GET", f"{_PATH}/stages", Access.VIEWER, show_stages, answers={200: RunStages}),
)
