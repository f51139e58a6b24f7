"""Jobs that wait for somebody's word, and what was said."""

import msgspec

from agent.errors import NotFoundError
from agent.plan import JobPhase, RunState
from agent.server.process.moments import Moment, time_text
from agent.server.process.paging import Page, part
from agent.server.runs.runs import Runs
from agent.server.store import environments, runs
from agent.server.store.database import Database
from agent.server.store.environments import ApprovalRow


class GateView(msgspec.Struct):
    """A job that its environment holds back."""

    job: str
    environment: str
    approvals: int
    approved_by: list[str]
    opens: Moment | None


class ApprovalView(msgspec.Struct):
    """A word that was said."""

    job: str
    environment: str
    attempt: int
    commit: str
    by: str
    approved: bool
    comment: str
    time: Moment | None


class ApprovalReading:
    """Reads who let which job in, and which wait."""

    def __init__(self, database: Database, driver: Runs) -> None:
        self._database = database
        self._driver = driver

    async def list_of(self, run: int, page: Page) -> tuple[list[GateView], list[ApprovalView], str | None]:
        """What waits in the run, whole; and what was said, in parts, oldest first. Raises NotFoundError."""
        async with self._database.read() as connection:
            plan = await runs.load_plan(connection, run)
            if plan is None:
                raise NotFoundError(f"there is no run {run}")
            found = await environments.list_approvals(connection, run)
        given, after = part(found, page, _place, tuple[float, str, str])
        _flow, state = self._driver.read(plan, run)
        return _gates(state), [_view(row) for row in given], after


def _place(row: ApprovalRow) -> tuple[float, str, str]:
    return row.created_at, row.job, row.actor


def _view(row: ApprovalRow) -> ApprovalView:
    return ApprovalView(
        job=row.key,
        environment=row.environment,
        attempt=row.attempt,
        commit=row.commit,
        by=row.actor,
        approved=row.is_approved,
        comment=row.comment,
        time=time_text(row.created_at),
    )


def _gates(state: RunState) -> list[GateView]:
    return [
        GateView(
            job.key,
            job.gate.environment,
            job.gate.approvals,
            list(job.gate.approved_by),
            time_text(job.gate.opens_at) if job.gate.is_known else None,
        )
        for job in state.jobs.values()
        if job.phase is JobPhase.GATED and job.gate is not None
    ]
