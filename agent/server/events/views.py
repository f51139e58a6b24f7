"""Runs and jobs as the API and its event streams show them. Rooms show what is theirs in the same way: in Structs, which the OpenAPI document reads too."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from agent.server.process.moments import Moment, time_text
from agent.server.store.apps import AppRow, read_apps
from agent.server.store.jobs import JobRow
from agent.server.store.runs import RunRow
from agent.spec.apps import AppState
from agent.spec.run_names import name_run
from agent.spec.status import JobStatus, RunStatus


class RunView(msgspec.Struct):
    """A run by itself."""

    id: int
    number: int
    name: str
    run_name: str
    attempt: int
    file: str
    event: str
    actor: str
    source: dict[str, object]
    status: RunStatus
    conclusion: str | None
    cancel_reason: str | None
    created: Moment | None
    started: Moment | None
    finished: Moment | None
    readable_name: str = (
        ""  # of words, such as wet-mangust-1: says the same as `id`, and may stand wherever a run is named
    )
    deployment: str = ""  # whose work it does; events don't say
    held: list[str] = []  # in lists: the keys of jobs that failed and wait for somebody to look
    url: str | msgspec.UnsetType = msgspec.UNSET  # where people look at it; events don't say


class AppView(msgspec.Struct):
    """An app of a job: a port that it opens for people. `path`, on this server, leads who may use it there."""

    name: str
    port: int  # as the job's steps know it; 0: not picked yet
    state: AppState
    message: str  # what is wrong with it
    path: str


class ResumedView(msgspec.Struct):
    """What a try of a job goes on from."""

    reason: str  # why the try before did not do its work: interrupted, lost, failed
    written_at: str = ""  # when the checkpoint was written; empty: there is none
    lost_seconds: float | None = None  # of work, since then; of a lost try the most that it can be
    lost: str = ""  # the same in words


class JobView(msgspec.Struct):
    """A job by itself. `id` is null while the planner holds it back; `waiting` says why it does not run yet, or until when it is held after a failure."""

    id: str | None
    run: int
    key: str
    name: str
    status: JobStatus
    conclusion: str | None
    waiting: str
    runs_on: list[str]
    agent: str | None
    agent_id: str | None
    lease: int
    cancel_reason: str | None
    failure_kind: str | None
    message: str
    outputs: dict[str, Any]
    machine: dict[str, object] | None
    queued: Moment | None
    started: Moment | None
    finished: Moment | None
    attempt: int
    run_attempt: int
    environment: str
    environment_url: str
    priority: int = 0
    gpus: list[str] = []  # UUIDs of those that are its own on its agent
    gang: str | None = None  # of a job that several machines run: the id of its first node
    node: int = 0  # its rank in the gang
    nodes: int = 1
    apps: list[AppView] = []
    checkpointed: Moment | None = None  # when its newest checkpoint was kept
    resumed: ResumedView | None = None  # of a job that was tried before: what it goes on from


def view_run(row: RunRow) -> RunView:
    """A run's row."""
    return RunView(
        id=row.id,
        number=row.number,
        name=row.title,
        run_name=row.run_name or row.title,
        attempt=row.attempt,
        file=row.file,
        event=row.event,
        actor=row.actor,
        source=json.loads(row.source),
        status=row.status,
        conclusion=row.conclusion,
        cancel_reason=row.cancel_reason,
        created=time_text(row.created_at),
        started=time_text(row.started_at),
        finished=time_text(row.finished_at),
        readable_name=name_run(row.id),
    )


def view_job(row: JobRow, agent_names: Mapping[str, str]) -> JobView:
    """A job's row; `agent_names` by id."""
    return JobView(
        id=row.id,
        run=row.run,
        key=row.key,
        name=row.name,
        status=row.status,
        conclusion=row.conclusion,
        waiting=row.waiting,
        runs_on=json.loads(row.runs_on),
        agent=agent_names.get(row.agent or ""),
        agent_id=row.agent,
        lease=row.lease,
        cancel_reason=row.cancel_reason,
        failure_kind=row.failure_kind,
        message=row.message,
        outputs=json.loads(row.outputs),
        machine=None if row.machine is None else json.loads(row.machine),
        queued=time_text(row.queued_at),
        started=time_text(row.started_at),
        finished=time_text(row.finished_at),
        priority=row.priority,
        gpus=json.loads(row.gpus),
        gang=row.gang,
        node=row.node_rank,
        nodes=row.nodes,
        attempt=row.attempt,
        run_attempt=row.run_attempt,
        environment=row.environment,
        environment_url=row.environment_url,
        apps=[_view_app(row, app) for app in read_apps(row.apps)],
        checkpointed=time_text(row.checkpointed_at),
        resumed=msgspec.json.decode(row.resumed, type=ResumedView) if row.resumed else None,
    )


def app_path(job: str, name: str) -> str:
    """Where on this server people are let into an app."""
    return f"/apps/{job}/{quote(name, safe='')}"


def _view_app(row: JobRow, app: AppRow) -> AppView:
    """With its job an app has ended, whether its agent could say so or not."""
    state = AppState.GONE if row.status is JobStatus.COMPLETED else app.state
    return AppView(app.name, app.port, state, app.message, app_path(row.id, app.name))


def json_text(view: msgspec.Struct) -> str:
    """A view as JSON text, for an event's row."""
    return msgspec.json.encode(view).decode()
