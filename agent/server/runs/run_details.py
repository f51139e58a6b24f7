"""A run with its jobs in the order of its flow: those that were queued, and those that are held back.

An attempt's jobs are those of its state; what a re-run kept belongs to both attempts. Earlier tries of a job that was
retried stand by themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from agent.errors import NotFoundError
from agent.flow.model import Flow
from agent.plan import RunState, explain_waiting
from agent.server.events.views import (
    JobView,
    RunView,
    view_job,
    view_run,
)
from agent.server.process.moments import time_text
from agent.server.runs import plan_states
from agent.server.runs.artifact_views import ArtifactView, view_artifact
from agent.server.runs.runs import Runs
from agent.server.store import agents, artifacts, deployments, jobs, records, run_branches, runs
from agent.server.store.database import Connection, Database
from agent.server.store.jobs import JobRow
from agent.server.store.runs import AttemptRow
from agent.spec.status import JobStatus


class SummaryView(msgspec.Struct):
    """What a job wrote for people: Markdown."""

    job: str
    id: str
    text: str


class RunDetails(RunView, kw_only=True):
    """A run with all that belongs to it."""

    branch: (
        str  # the ref that the server itself has found it on, in full; empty: on none, whatever `source` says
    )
    jobs: list[JobView]
    retried: list[JobView]
    summaries: list[SummaryView]
    artifacts: list[ArtifactView]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a run. `row` is there for those that another one followed."""

    state: RunState
    flow: Flow
    row: AttemptRow | None


async def load_run(database: Database, flows: Runs, run: int, number: int = 0, *, now: float) -> RunDetails:
    """All of a run, in its attempt `number` (0: the last one). Raises NotFoundError."""
    async with database.read() as connection:
        row = await runs.find_run(connection, run)
        if row is None:
            raise NotFoundError(f"there is no run {run}")
        branch = await run_branches.find_branch(connection, run)
        attempt = await find_attempt(connection, flows, run, number)
        rows = await jobs.list_of_run(connection, run)
        names = await agents.names_of(connection, [job.agent for job in rows])
        shown = list_jobs(attempt, rows, names, now)
        finished = [view_artifact(artifact) for artifact in await artifacts.list_final(connection, run)]
        ids = {job.id for job in shown}
        texts = await records.list_summaries_of_run(connection, run)
        summaries = [
            SummaryView(job.key, job.id, "\n".join(texts[job.id]))
            for job in rows
            if job.id in ids and job.id in texts
        ]
        of_deployments = await deployments.names_of(connection, [run])
    view = _of_attempt(view_run(row), attempt)
    view.deployment = of_deployments.get(run, "")
    return RunDetails(
        **msgspec.structs.asdict(view),
        branch="" if branch is None else branch.ref,
        jobs=shown,
        retried=list_retried(attempt, rows, names),
        summaries=[summary for summary in summaries if summary.text],
        artifacts=finished,
    )


async def find_attempt(connection: Connection, flows: Runs, run: int, attempt: int) -> Attempt:
    """The run's attempt of that number; 0: the last one. Raises NotFoundError."""
    plan = await runs.load_plan(connection, run)
    if plan is None:
        raise NotFoundError(f"there is no run {run}")
    flow, state = flows.read(plan, run)
    if attempt in (0, state.request.attempt):
        return Attempt(state, flow, None)
    row = await runs.find_attempt(connection, run, attempt)
    if row is None:
        raise NotFoundError(
            f"run {run} has no attempt {attempt}", hint=f"its last one is {state.request.attempt}"
        )
    return Attempt(plan_states.parse(row.state, where=f"run {run}, attempt {attempt}"), flow, row)


def list_jobs(
    attempt: Attempt, rows: Sequence[JobRow], names: Mapping[str, str], now: float
) -> list[JobView]:
    """The attempt's jobs; `names` are the agents' by id. A calling job that has begun is its flow's jobs."""
    state = attempt.state
    by_id = {row.id: row for row in rows}
    waiting = explain_waiting(attempt.flow, state, now=now)
    views: list[JobView] = []
    for key in (key for name, node in state.nodes.items() for key in (node.jobs or (name,))):
        job = state.jobs.get(key)
        row = None if job is None else by_id.get(job.id)
        if row is not None:
            nodes = [node for node in rows if node.gang == row.id and node.node_rank]
            views += [view_job(one, names) for one in (row, *nodes)]
        elif key in waiting:
            views.append(
                _view_pending_job(
                    state.request.run,
                    key,
                    waiting[key],
                    attempt=1 if job is None else job.attempt,
                    run_attempt=state.request.attempt,
                )
            )
    return views


def list_retried(attempt: Attempt, rows: Sequence[JobRow], names: Mapping[str, str]) -> list[JobView]:
    """Earlier tries of the attempt's jobs."""
    state = attempt.state
    present = {job.id for job in state.jobs.values()}
    of = {(job.key, job.run_attempt) for job in state.jobs.values()}
    return [
        view_job(row, names)
        for row in rows
        if row.id not in present and not row.node_rank and (row.key, row.run_attempt) in of
    ]


def _of_attempt(view: RunView, attempt: Attempt) -> RunView:
    """The run as it stood at the end of an earlier attempt."""
    row = attempt.row
    if row is None:
        return view
    return msgspec.structs.replace(
        view,
        attempt=row.attempt,
        status=JobStatus.COMPLETED,
        conclusion=row.conclusion,
        cancel_reason=row.cancel_reason,
        started=time_text(row.started_at),
        finished=time_text(row.finished_at),
    )


def _view_pending_job(run: int, key: str, why: str, *, attempt: int, run_attempt: int) -> JobView:
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
