"""`/api/v1/runs`."""

from collections.abc import AsyncIterator, Mapping
from typing import Literal

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError
from agent.flow.model import Flow
from agent.plan import RunState, explain_waiting
from agent.plan.request import Wish
from agent.server.api import event_streams
from agent.server.auth.access import Access
from agent.server.call import Call, view_response
from agent.server.live import run_topic
from agent.server.operation import EVENTS, V1, Operation
from agent.server.paging import Next, Page, RowId, cut, next_cursor
from agent.server.runs import Submission
from agent.server.services import Services
from agent.server.store import agents, artifacts, events, jobs, records, runs
from agent.server.store.database import Connection
from agent.server.views import (
    ArtifactView,
    JobView,
    RunView,
    view_artifact,
    view_job,
    view_pending_job,
    view_run,
)
from agent.spec import codec
from agent.spec.job import Source

_LONGEST_REASON = 1000
_PATH = f"{V1}/runs/{{run:int}}"


class FlowBody(msgspec.Struct, forbid_unknown_fields=True):
    """The flow of a run: its file's name and text."""

    file: str
    text: str
    dialect: str | None = None


class RunBody(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /api/v1/runs` takes."""

    flow: FlowBody
    event: str = ""
    event_payload: dict[str, object] = {}
    inputs: dict[str, str | int | float | bool] = {}
    vars: dict[str, str] = {}
    jobs: list[str] = []
    matrix: dict[str, str] = {}
    source: dict[str, object] = {}
    lock: str | None = None  # the text of the flow.lock beside the flow


class CancelBody(msgspec.Struct, forbid_unknown_fields=True):
    """Why a run is ended."""

    reason: str = ""


class RunQuery(Page):
    """Which runs."""

    status: Literal["queued", "running", "completed"] | msgspec.UnsetType = msgspec.UNSET


class RunList(msgspec.Struct):
    """Runs, newest first."""

    runs: list[RunView]
    next: Next


class RunId(msgspec.Struct):
    """The run that it is about."""

    run: int


class SummaryView(msgspec.Struct):
    """What a job wrote for people: Markdown."""

    job: str
    id: str
    text: str


class RunDetails(RunView, kw_only=True):
    """A run with all that belongs to it."""

    jobs: list[JobView]
    summaries: list[SummaryView]
    artifacts: list[ArtifactView]


async def submit_run(call: Call) -> Response:
    """Start a run."""
    body = await call.body(RunBody)
    wish = Wish(
        event_name=body.event,
        event=body.event_payload,
        inputs=body.inputs,
        vars=body.vars,
        source=codec.from_json(Source, body.source, where="source"),
        actor=call.caller.name,
        jobs=tuple(body.jobs),
        cells=body.matrix,
        pins=_read_pins(body.lock),
    )
    submission = Submission(body.flow.file, body.flow.text, body.flow.dialect, wish, call.project.id)
    run = await call.services.runs.submit(submission)
    return view_response(RunId(run), 201)


async def list_runs(call: Call) -> Response:
    """Runs, newest first."""
    query = call.query(RunQuery)
    async with call.services.database.read() as connection:
        found = await runs.list_runs(
            connection,
            call.project.id,
            limit=query.limit + 1,
            before=query.after(RowId),
            status=query.status or None,
        )
    shown = cut(found, query.limit)
    after = next_cursor(found, query.limit, shown[-1].id if shown else 0)
    return view_response(RunList([view_run(row) for row in shown], after))


async def show_run(call: Call) -> Response:
    """A run with its jobs, summaries and artifacts."""
    run = call.number("run")
    async with call.services.database.read() as connection:
        row = await runs.find_run(connection, run)
        if row is None:
            raise NotFoundError(f"there is no run {run}")
        rows = await jobs.list_of_run(connection, run)
        names = await agents.names_of(connection, [job.agent for job in rows])
        shown = await _in_order(connection, call.services, run, [view_job(job, names) for job in rows])
        finished = [view_artifact(artifact) for artifact in await artifacts.list_final(connection, run)]
        summaries = [await _summary(connection, job) for job in rows]
    return view_response(
        RunDetails(
            **msgspec.structs.asdict(view_run(row)),
            jobs=shown,
            summaries=[summary for summary in summaries if summary.text],
            artifacts=finished,
        )
    )


async def cancel_run(call: Call) -> Response:
    """End a run."""
    run = call.number("run")
    body = await call.body(CancelBody)
    await call.services.runs.cancel(run, body.reason[:_LONGEST_REASON] or "cancelled by a person")
    return view_response(RunId(run))


async def follow_run(call: Call) -> Response:
    """The run's changes as they happen."""
    run = call.number("run")
    async with call.services.database.read() as connection:
        if await runs.find_run(connection, run) is None:
            raise NotFoundError(f"there is no run {run}")
    after = event_streams.last_event_id(call)
    return event_streams.stream_response(_events(call.services, run, after))


def _read_pins(lock: str | None) -> Mapping[str, str] | None:
    """What a lock holds each `uses:` to. Raises UsageError when it is not valid."""
    if lock is None:
        return None
    from agent.resolve.lock import parse_lock

    return parse_lock(lock).pins


async def _events(services: Services, run: int, after: int) -> AsyncIterator[bytes]:
    with services.bus.listen(run_topic(run)) as listener:
        while not services.bus.is_closing:
            async with services.database.read() as connection:
                row = await runs.find_run(connection, run)
                found = await events.list_events(connection, run, after)
            for event in found:
                after = event.id
                yield event_streams.event_bytes(event.kind, event.data, event.id)
            if not found:
                if row is None or row.status == "completed":
                    yield event_streams.END
                    return
                if not await listener.wait(event_streams.HEARTBEAT_SECONDS):
                    yield event_streams.HEARTBEAT


async def _in_order(
    connection: Connection, services: Services, run: int, queued: list[JobView]
) -> list[JobView]:
    """All jobs of the run in the order of its flow: those that were queued, and those that are held back."""
    plan = await runs.load_plan(connection, run)
    if plan is None:
        return queued
    state = codec.parse(RunState, plan.state, where=f"run {run}")
    flow = services.flows.parse(plan.file, plan.text, plan.dialect)
    now = services.clock.now()
    jobs_by_key = {job.key: job for job in [*_not_yet_queued(flow, state, now), *queued]}
    keys = [key for name, node in state.nodes.items() for key in (node.jobs or (name,))]
    nodes = {job.id: [node for node in queued if node.gang == job.id and node.node] for job in queued}
    shown = [jobs_by_key[key] for key in keys if key in jobs_by_key]
    return [one for job in shown for one in (job, *nodes.get(job.id, ()))]


def _not_yet_queued(flow: Flow, state: RunState, now: float) -> list[JobView]:
    """The jobs that the planner holds back, each with why."""
    waiting = explain_waiting(flow, state, now=now)
    return [view_pending_job(state.request.run, key, why) for key, why in waiting.items()]


async def _summary(connection: Connection, job: jobs.JobRow) -> SummaryView:
    texts = await records.list_summaries(connection, job.id, job.lease)
    return SummaryView(job.key, job.id, "\n".join(texts))


OPERATIONS = (
    Operation("POST", f"{V1}/runs", Access.RUNNER, submit_run, body=RunBody, answers={201: RunId}),
    Operation("GET", f"{V1}/runs", Access.VIEWER, list_runs, query=RunQuery, answers={200: RunList}),
    Operation("GET", _PATH, Access.VIEWER, show_run, answers={200: RunDetails}),
    Operation("POST", f"{_PATH}/cancel", Access.RUNNER, cancel_run, body=CancelBody, answers={200: RunId}),
    Operation(
        "GET",
        f"{_PATH}/events",
        Access.VIEWER,
        follow_run,
        query=event_streams.Resume,
        answers={200: EVENTS},
    ),
)
