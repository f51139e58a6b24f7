"""Input of the scheduler, from rows to its words: who waits, who holds what, what projects may have."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from agent import codec
from agent.server.agents.scheduler import Holding, Project, ReadyAgent, Stake, Usage, WaitingJob
from agent.server.agents.scheduler.model import FOREVER, JobShape, ReturningJob
from agent.server.agents.scheduler.usage import HALF_LIFE_SECONDS, Capacity
from agent.server.store import projects, queue
from agent.server.store.database import Connection
from agent.server.store.queue import HeldRow, QueuedRow, ReturningRow
from agent.spec.request import NOTHING, ResourceRequest

_MEMORY_SECONDS = 4 * HALF_LIFE_SECONDS  # what was used before has faded to a sixteenth


@dataclass(frozen=True, slots=True)
class SchedulerInput:
    """One consistent view of the database."""

    queued: Sequence[QueuedRow]
    holdings: Sequence[Holding]
    returning: Sequence[ReturningRow]
    projects: Mapping[int, Project]


async def read_standing(connection: Connection) -> SchedulerInput:
    """How things stand now."""
    return SchedulerInput(
        await queue.list_queued(connection),
        [_make_holding(row) for row in await queue.list_held(connection)],
        await queue.list_returning(connection),
        {row.id: _make_project(row) for row in await projects.list_projects(connection)},
    )


async def read_usage(connection: Connection, now: float, capacity: Capacity) -> Usage:
    """What projects have used in the last hours, for a server that has just started."""
    usage = Usage(now)
    for row in await queue.list_used(connection, now - _MEMORY_SECONDS, now):
        share = capacity.dominant_share(_parse_request(row.request), len(json.loads(row.gpus)))
        usage.add(row.project, share * max(row.seconds, 0.0) / 2)  # on average it has faded by half
    return usage


def make_waiting(rows: Sequence[QueuedRow], refusals: Mapping[str, Mapping[str, str]]) -> list[WaitingJob]:
    """The queue as the scheduler wants it; `refusals` says who would not have which job, and why."""
    return [_make_waiting_job(row, refusals.get(row.id, {})) for row in rows]


def make_returning(rows: Sequence[ReturningRow]) -> list[ReturningJob]:
    """The jobs that want their room again, as the scheduler wants them."""
    return [ReturningJob(_make_returning_job(row), row.agent) for row in rows]


def _make_returning_job(row: ReturningRow) -> WaitingJob:
    shape, shown_labels = _make_shape(
        row.runs_on, row.group_name, row.project, row.request, 1, row.limit_seconds
    )
    return WaitingJob(row.id, shape, shown_labels, row.priority, row.queued_at, title_of(row.key, row.run))


def _make_waiting_job(row: QueuedRow, refused: Mapping[str, str]) -> WaitingJob:
    shape, shown_labels = _make_shape(
        row.runs_on, row.group_name, row.project, row.request, row.nodes, row.limit_seconds
    )
    return WaitingJob(
        row.id,
        shape,
        shown_labels,
        row.priority,
        row.queued_at,
        title_of(row.key, row.run),
        refused,
        row.ranked_at,
        bool(row.interruptible),
    )


@lru_cache(maxsize=4096)
def _make_shape(
    runs_on: str, group: str, project: int, request: str, nodes: int, limit_seconds: float | None
) -> tuple[JobShape, tuple[str, ...]]:
    labels = tuple(json.loads(runs_on))
    shape = JobShape(
        labels=frozenset(label.lower() for label in labels),
        group=group.lower(),
        project=project,
        request=_parse_request(request),
        nodes=nodes,
        limit_seconds=FOREVER if limit_seconds is None else limit_seconds,
    )
    return shape, labels


def _make_holding(row: HeldRow) -> Holding:
    limit = FOREVER if row.limit_seconds is None else row.limit_seconds
    return Holding(
        row.id,
        row.agent,
        title_of(row.key, row.run),
        row.project,
        _parse_request(row.request),
        _parse_gpus(row.gpus),
        row.assigned_at + limit,
        row.ranked_at,
        _make_stake(row),
    )


def _make_stake(row: HeldRow) -> Stake | None:
    """What would be lost if the job were interrupted; None: it can't be."""
    if not row.interruptible or row.gang is not None or row.started_at is None:
        return None
    return Stake(
        row.priority,
        row.started_at,
        max(row.started_at, row.checkpointed_at or 0.0),
        is_leaving=row.interrupt_reason is not None,
        is_again=row.attempt > 1,
    )


def _make_project(row: projects.ProjectRow) -> Project:
    settings = row.settings
    return Project(
        row.id,
        row.name,
        settings.weight,
        settings.priority,
        settings.max_running_jobs,
        settings.max_gpus,
    )


def title_of(key: str, run: int) -> str:
    """A job's name in sentences about others."""
    return f"job {key} of run {run}"


def without_spent(ready: Sequence[ReadyAgent], spent: set[str]) -> list[ReadyAgent]:
    """The agents without the ephemeral ones that have had their one job."""
    return [agent for agent in ready if not (agent.is_ephemeral and agent.id in spent)]


@lru_cache(maxsize=1024)
def _parse_request(text: str) -> ResourceRequest:
    return NOTHING if text == "{}" else codec.parse(ResourceRequest, text, where="request")


@lru_cache(maxsize=1024)
def _parse_gpus(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
