"""`/api/v1/runs`."""

from collections.abc import AsyncIterator, Mapping
from typing import Annotated

import msgspec
from starlette.responses import Response

from agent import codec
from agent.plan.request import RunRequest
from agent.server.api import event_streams
from agent.server.api.run_starts import HoldMinutes, Inputs, RunStarted, answer_started
from agent.server.events import frames
from agent.server.events.live import run_topic
from agent.server.events.views import RunView
from agent.server.http.call import Call, view_response
from agent.server.http.operation import EVENTS, V1, Operation
from agent.server.http.rooms import Rooms
from agent.server.people.auth.access import Access
from agent.server.process.paging import Next, Page
from agent.server.runs.run_details import RunDetails
from agent.server.runs.runs import Submission
from agent.server.streams.figures import StagesOfJob
from agent.server.triggers.inbox import check_payload
from agent.spec.job import Source
from agent.spec.status import RunStatus

_LONGEST_REASON = 1000
_PATH = f"{V1}/runs/{{run:run}}"


class FlowBody(msgspec.Struct, forbid_unknown_fields=True):
    """The flow of a run: its file's name and text."""

    file: str
    text: str
    dialect: str | None = None
    called: dict[str, str] = {}  # the texts of the flows that it calls, by reference


class RunBody(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /api/v1/runs` takes."""

    flow: FlowBody
    event: str = ""
    event_payload: dict[str, object] = {}
    inputs: Inputs = {}
    vars: dict[str, str] = {}
    secrets: dict[str, str] = {}  # of this run alone: encrypted, shown nowhere, gone with the run
    jobs: list[str] = []
    matrix: dict[str, str] = {}
    source: dict[str, object] = {}
    lock: str | None = None  # the text of the flow.lock beside the flow
    hold_minutes: HoldMinutes = 0  # jobs that fail wait for so long for somebody to attach; 0: none does


class CancelBody(msgspec.Struct, forbid_unknown_fields=True):
    """Why a run is ended; `force`: now, whatever the conditions of its jobs and steps say."""

    reason: str = ""
    force: bool = False


class RunQuery(Page):
    """Which runs."""

    status: RunStatus | msgspec.UnsetType = msgspec.UNSET


class DetailsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which attempt of the run; 0: the last one."""

    attempt: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0


class RunList(msgspec.Struct):
    """Runs, newest first."""

    runs: list[RunView]
    next: Next


class RunId(msgspec.Struct):
    """The run that it is about."""

    run: int


async def submit_run(call: Call) -> Response:
    """Start a run."""
    body = await call.body(RunBody)
    check_payload(body.event_payload, "the event", "event_payload")
    asked = RunRequest(
        event=body.event,
        payload=body.event_payload,
        inputs=body.inputs,
        vars=body.vars,
        source=codec.from_json(Source, body.source, where="source"),
        actor=call.caller.name,
        jobs=tuple(body.jobs),
        cells=body.matrix,
        pins=_read_pins(body.lock),
        hold_minutes=body.hold_minutes,
    )
    flow = body.flow
    submission = Submission(
        flow.file,
        flow.text,
        flow.dialect,
        asked,
        flow.called,
        call.project.id,
        secrets=body.secrets,
        caller=call.caller,
        by=call.caller,
    )
    started = await call.rooms.runs.runs.submit(submission)
    return answer_started(call, started.run, started.warnings)


async def list_runs(call: Call) -> Response:
    """Runs, newest first."""
    query = call.query(RunQuery)
    views, after = await call.rooms.runs.reading.list_of(call.project.id, query, query.status or None)
    for view in views:
        view.url = call.page_url(view.id)
    return view_response(RunList(views, after))


async def show_run(call: Call) -> Response:
    """A run with its jobs, summaries and artifacts."""
    details = await call.rooms.runs.reading.load(call.number("run"), call.query(DetailsQuery).attempt)
    details.url = call.page_url(details.id)
    return view_response(details)


async def cancel_run(call: Call) -> Response:
    """End a run."""
    run = call.number("run")
    body = await call.body(CancelBody)
    reason = body.reason[:_LONGEST_REASON] or "cancelled by a person"
    await call.rooms.runs.runs.cancel(run, reason, is_forced=body.force)
    return view_response(RunId(run))


async def follow_run(call: Call) -> Response:
    """The run's changes as they happen."""
    run = call.number("run")
    start = await call.rooms.runs.events.find_start(run)
    after = event_streams.last_event_id(call) or start
    return event_streams.stream_response(_events(call.rooms, run, after))


def _read_pins(lock: str | None) -> Mapping[str, str] | None:
    """What a lock holds each `uses:` to. Raises UsageError when it is not valid."""
    if lock is None:
        return None
    from agent.resolve.lock import parse_lock

    return parse_lock(lock).pins


async def _events(rooms: Rooms, run: int, after: int) -> AsyncIterator[bytes]:
    told: dict[str, StagesOfJob] = {}
    with rooms.bus.listen(run_topic(run)) as listener:
        while not rooms.bus.is_closing:
            news = await rooms.runs.events.list_of_run(run, after)
            for event in news.events:
                after = event.id
                yield frames.event_bytes(event.kind, event.data, event.id)
            for stages in await rooms.streams.figure_reading.list_of_run(run):
                if told.get(stages.job) != stages:  # what there was between is of no interest any more
                    told[stages.job] = stages
                    yield frames.event_bytes("stages", msgspec.json.encode(stages).decode(), None)
            if news.is_over:
                yield frames.END
                return
            if not news.events and not await listener.wait(frames.HEARTBEAT_SECONDS):
                yield frames.HEARTBEAT


OPERATIONS = (
    Operation("POST", f"{V1}/runs", Access.RUNNER, submit_run, body=RunBody, answers={201: RunStarted}),
    Operation("GET", f"{V1}/runs", Access.VIEWER, list_runs, query=RunQuery, answers={200: RunList}),
    Operation("GET", _PATH, Access.VIEWER, show_run, query=DetailsQuery, answers={200: RunDetails}),
    Operation(
        "POST",
        f"{_PATH}/cancel",
        Access.RUNNER,
        cancel_run,
        body=CancelBody,
        answers={200: RunId},
        problems=(409,),
    ),
    Operation(
        "GET",
        f"{_PATH}/events",
        Access.VIEWER,
        follow_run,
        query=event_streams.Resume,
        answers={200: EVENTS},
    ),
)
