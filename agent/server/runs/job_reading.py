"""Jobs as they are looked at: what the tables say of one, and which journal has the rest."""

import json
from dataclasses import dataclass
from typing import Any

import msgspec

from agent.errors import NotFoundError
from agent.journal.format import Closed
from agent.server.events.views import JobView, view_job
from agent.server.process.moments import Moment, time_text
from agent.server.store import agents, jobs, records
from agent.server.store.database import Connection, Database
from agent.server.store.jobs import JobRow
from agent.server.store.records import StepRow
from agent.spec.outcome import Conclusion, FailureKind, JobResult
from agent.spec.status import JobStatus


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
    outputs: dict[str, Any]
    used: dict[str, Any] | None = None  # of the machine: docs/metrics.md; null: it was too short to say


class JobDetails(JobView, kw_only=True):
    """A job with what its journal says."""

    steps: list[StepView]
    annotations: list[object]
    summary: str


@dataclass(frozen=True, slots=True)
class JobJournal:
    """The journal of a job: that of its present lease. `closing` is the last word on the job, once it has ended."""

    job: str
    key: str
    lease: int
    closing: Closed | None


class JobReading:
    """Reads jobs. Each call is one snapshot; those about one job raise NotFoundError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, job: str) -> JobDetails:
        """A job with its steps and annotations."""
        async with self._database.read() as connection:
            row = await _find(connection, job)
            steps = await records.list_steps(connection, row.id, row.lease)
            annotations = await records.list_annotations(connection, row.id, row.lease)
            summary = await records.list_summaries(connection, row.id, row.lease)
            names = await agents.names_of(connection, [row.agent])
        return JobDetails(
            **msgspec.structs.asdict(view_job(row, names)),
            steps=[_view_step(step) for step in steps],
            annotations=annotations,
            summary="\n".join(summary),
        )

    async def find_journal(self, job: str) -> JobJournal:
        """Where to read what the job said."""
        async with self._database.read() as connection:
            row = await _find(connection, job)
        return JobJournal(
            row.id, row.key, row.lease, _closing(row) if row.status is JobStatus.COMPLETED else None
        )

    async def count_open(self) -> dict[JobStatus, int]:
        """How many jobs are in each state, of those that have not ended."""
        async with self._database.read() as connection:
            return await jobs.count_open(connection)


async def _find(connection: Connection, job: str) -> JobRow:
    row = await jobs.find_job(connection, job)
    if row is None:
        raise NotFoundError(f"there is no job {job}")
    return row


def _closing(row: JobRow) -> Closed:
    """What a journal would say at its end: that of a job that was lost, or cancelled before it began, has none."""
    result = JobResult(
        Conclusion(row.conclusion or Conclusion.FAILURE),
        json.loads(row.outputs),
        FailureKind(row.failure_kind) if row.failure_kind else None,
        row.message,
    )
    return Closed(int((row.finished_at or 0) * 1000), result)


def _view_step(row: StepRow) -> StepView:
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
        used=None if row.used is None else json.loads(row.used),
    )
