"""Figures of the stages of running jobs: what a job said last, and, of each stage, the totals of all jobs, which only grow.

A job counts from its beginning. What has come since it spoke last is added to the totals in the same transaction, so that a job
that is followed by another, or says the same twice, counts once.
"""

import json
from collections.abc import Mapping
from typing import Annotated

import msgspec

from agent.server.events.changes import Changes
from agent.server.events.live import run_topic
from agent.server.people.auth.runtime import JobIdentity
from agent.server.process.moments import Moment, time_text
from agent.server.process.problems import MalformedError
from agent.server.store import locks, stage_figures
from agent.server.store.database import Database
from agent.server.store.stage_figures import FigureRow
from agent.server.streams.stage_jobs import StageJob, StageJobs

Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 62))]
BOUNDS = (
    "0.01",
    "0.1",
    "0.5",
    "1",
    "10",
    "60",
    "+Inf",
)  # seconds; as they are counted, each holds those before it
COUNTERS = ("accepted", "started", "done", "filtered", "failed", "retried", "dead")


class StageFigureBody(msgspec.Struct, kw_only=True):
    """A stage since its job began. `seconds`: how many took at most so long, each count holding those before it."""

    name: Annotated[str, msgspec.Meta(max_length=500)]
    state: Annotated[str, msgspec.Meta(max_length=100)] = ""
    accepted: Count = 0
    buffered: Count = 0
    started: Count = 0
    done: Count = 0
    filtered: Count = 0
    failed: Count = 0
    retried: Count = 0
    dead: Count = 0
    seconds: dict[str, Count] = {}
    seconds_sum: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class FigureBody(msgspec.Struct):
    """The stages of the job, all of them, and when that was, in seconds since the epoch by the job's clock."""

    at: float
    stages: Annotated[list[StageFigureBody], msgspec.Meta(max_length=1000)]


class StageView(StageFigureBody, kw_only=True):
    """A stage, its action, and the names of the stages that get what it gives."""

    action: str
    out: list[str]


class StagesOfJob(msgspec.Struct):
    """The stages of a job as it said last, each after those that it gets its records from."""

    job: str
    key: str
    at: Moment | None
    stages: list[StageView]


class FlowFigures:
    """The figures of this installation."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def note(self, job: StageJob, body: FigureBody) -> None:
        """A job says how its stages stand. Raises MalformedError for a stage that it does not have."""
        kinds = {stage.name: stage.is_trigger for stage in job.stages}
        if strange := [stage.name for stage in body.stages if stage.name not in kinds]:
            raise MalformedError(f"the job has no stage '{strange[0][:80]}'")
        text = msgspec.json.encode(body.stages).decode()
        async with self._changes.begin() as change:
            connection = change.connection
            await locks.lock_name(connection, f"figures of {job.project}/{job.flow}")
            said = await stage_figures.find_figures(connection, job.id, job.lease)
            before = {} if said is None else {stage.name: stage for stage in _read(said)}
            known = await stage_figures.load_totals(connection, job.project, job.flow, list(kinds))
            totals = {
                stage.name: _add(
                    known.get(stage.name), before.get(stage.name), stage, is_trigger=kinds[stage.name]
                )
                for stage in body.stages
            }
            if totals:
                await stage_figures.save_totals(connection, job.project, job.flow, totals, change.now)
            await stage_figures.save_figures(
                connection, job=job.id, lease=job.lease, stages=text, at=change.now
            )
            change.wake(run_topic(job.run))


class FigureReading:
    """Reads figures. Each call is one snapshot."""

    def __init__(self, database: Database, jobs: StageJobs) -> None:
        self._database = database
        self._jobs = jobs

    async def list_of_run(self, run: int) -> list[StagesOfJob]:
        """The stages of the run's jobs; of jobs that are no stages there are none."""
        async with self._database.read() as connection:
            rows = await stage_figures.list_of_run(connection, run)
        return [await self._view(run, row) for row in rows]

    async def _view(self, run: int, row: FigureRow) -> StagesOfJob:
        job = await self._jobs.find(JobIdentity(run, row.job, row.lease))
        specs = {spec.name: spec for spec in job.stages}
        said = {stage.name: stage for stage in _read(row.stages)}
        stages = [
            StageView(**msgspec.structs.asdict(said[name]), action=spec.action, out=list(spec.out))
            for name, spec in specs.items()
            if name in said
        ]
        return StagesOfJob(row.job, row.key, time_text(row.at), stages)


def _read(text: str) -> list[StageFigureBody]:
    return msgspec.json.decode(text, type=list[StageFigureBody])


def _add(known: str | None, before: StageFigureBody | None, now: StageFigureBody, *, is_trigger: bool) -> str:
    """The totals of a stage with what has come since its job spoke last."""
    totals = {} if known is None else json.loads(known)
    for name in COUNTERS:
        totals[name] = totals.get(name, 0) + _grown(getattr(before, name, 0), getattr(now, name))
    buckets: Mapping[str, int] = {} if before is None else before.seconds
    seconds = totals.get("seconds", {})
    totals["seconds"] = {
        bound: seconds.get(bound, 0) + _grown(buckets.get(bound, 0), now.seconds.get(bound, 0))
        for bound in BOUNDS
    }
    added = now.seconds_sum - (0.0 if before is None else before.seconds_sum)
    totals["seconds_sum"] = totals.get("seconds_sum", 0.0) + max(added, 0.0)
    totals["is_trigger"] = is_trigger
    return json.dumps(totals)


def _grown(before: int, now: int) -> int:
    return max(now - before, 0)
