"""Rows as the API and its event streams show them. Each answer is a Struct here: the OpenAPI document reads them too."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from agent.server.store.artifacts import ArtifactRow
from agent.server.store.jobs import JobRow
from agent.server.store.records import StepRow
from agent.server.store.runs import RunRow
from agent.spec.status import JobStatus, RunStatus

_LAST_SECOND = 253_402_300_799  # of the year 9999: what lies behind it has no RFC 3339 form

HoldMinutes = Annotated[float, msgspec.Meta(ge=0, le=24 * 60)]
Moment = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]


class Named(msgspec.Struct):
    """A thing's name, as it is stored."""

    name: str


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
    held: list[str] = []  # in lists: the keys of jobs that failed and wait for somebody to look
    url: str | msgspec.UnsetType = msgspec.UNSET  # where people look at it; events don't say


class RunStarted(msgspec.Struct):
    """The run that was started, and where people look at it."""

    run: int
    url: str


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
    outputs: dict[str, str]
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


class StepView(msgspec.Struct):
    """A step as its journal left it last."""

    step: int
    id: str
    name: str
    parent: int | None
    state: str
    outcome: str | None
    conclusion: str | None
    seconds: float | None
    started: Moment | None
    outputs: dict[str, str]


class ArtifactView(msgspec.Struct):
    """A finished artifact."""

    id: int
    run: int
    job: str
    name: str
    size_bytes: int
    digest: str
    mime_type: str
    created: Moment | None
    expires: Moment | None


def shown_moment(moment: str) -> str:
    """A moment of a view as `2026-11-21 08:00 UTC`, for people."""
    return f"{moment[:10]} {moment[11:16]} UTC"


def read_moment(moment: str) -> float:
    """A moment of a view in seconds since the epoch."""
    return datetime.fromisoformat(moment).timestamp()


def time_text(seconds: float | None) -> str | None:
    """Seconds since the epoch as `2026-11-21T08:00:00.000Z` (RFC 3339, UTC)."""
    if seconds is None:
        return None
    seconds = min(max(seconds, 0), _LAST_SECOND)
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
    )


def view_pending_job(run: int, key: str, why: str, *, attempt: int, run_attempt: int) -> JobView:
    """A job that there is no row of yet: the planner holds it back."""
    return JobView(
        id=None,
        run=run,
        key=key,
        name=key,
        status=JobStatus.PENDING,
        conclusion=None,
        waiting=why,
        runs_on=[],
        agent=None,
        agent_id=None,
        lease=0,
        cancel_reason=None,
        failure_kind=None,
        message="",
        outputs={},
        machine=None,
        queued=None,
        started=None,
        finished=None,
        attempt=attempt,
        run_attempt=run_attempt,
        environment="",
        environment_url="",
    )


def view_step(row: StepRow) -> StepView:
    """A step's row."""
    return StepView(
        step=row.step,
        id=row.id,
        name=row.name,
        parent=row.parent,
        state=row.state,
        outcome=row.outcome,
        conclusion=row.conclusion,
        seconds=row.seconds,
        started=time_text(row.started_at),
        outputs=json.loads(row.outputs),
    )


def view_artifact(row: ArtifactRow) -> ArtifactView:
    """A finished artifact's row."""
    return ArtifactView(
        id=row.id,
        run=row.run,
        job=row.job,
        name=row.name,
        size_bytes=row.size_bytes,
        digest=row.digest,
        mime_type=row.mime_type,
        created=time_text(row.created_at),
        expires=time_text(row.expires_at),
    )


def json_text(view: msgspec.Struct) -> str:
    """A view as JSON text, for an event's row."""
    return msgspec.json.encode(view).decode()
