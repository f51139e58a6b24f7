"""Approvals: people let jobs into environments.

A word counts for one job of one attempt, and so for one commit: the job's id is of that attempt, and a re-run asks again
(security.md: re-run, force-push after approval).
"""

from dataclasses import dataclass

from agent.errors import NotFoundError, RefusedError, UsageError
from agent.plan import Event, JobApproved, JobPhase, JobRejected, JobState, RunState
from agent.server.events.changes import Change, Changes
from agent.server.people.auth.access import Caller, check_role
from agent.server.people.auth.roles import Role
from agent.server.runs.runs import Runs
from agent.server.store import environments, runs
from agent.server.store.environments import ApprovalRow, Environment
from agent.server.store.projects import ProjectRow
from agent.server.store.runs import RunRow


@dataclass(frozen=True, slots=True)
class Word:
    """What a person says. `names`: keys of jobs, or environments; none: all jobs of the run that wait for a word."""

    is_approved: bool
    names: tuple[str, ...] = ()
    comment: str = ""


class Approvals:
    """Takes people's words on jobs that wait for them."""

    def __init__(self, changes: Changes, driver: Runs) -> None:
        self._changes = changes
        self._driver = driver

    async def decide(self, run: int, word: Word, caller: Caller, project: ProjectRow) -> list[str]:
        """Apply a word; give the keys of the jobs that it was about.

        Raises NotFoundError; UsageError when no such job waits; RefusedError when the caller may not say it.
        """
        async with self._changes.begin() as change:
            await change.lock_run(run)
            plan = await runs.load_plan(change.connection, run)
            row = await runs.find_run(change.connection, run)
            if plan is None or row is None:
                raise NotFoundError(f"there is no run {run}")
            _flow, state = self._driver.read(plan, run)
            found = _choose(state, word.names)
            for job in found:
                await _check(change, job, row, caller, project)
            for job in found:
                await self._say(change, state, job, word, caller.name)
        return [job.key for job in found]

    async def _say(self, change: Change, state: RunState, job: JobState, word: Word, actor: str) -> None:
        assert job.gate is not None
        request = state.request
        row = ApprovalRow(
            job=job.id,
            actor=actor,
            run=request.run,
            attempt=request.attempt,
            commit=request.source.commit,
            key=job.key,
            environment=job.gate.environment,
            is_approved=word.is_approved,
            comment=word.comment,
            created_at=change.now,
        )
        if not await environments.add_approval(change.connection, row):
            raise UsageError(f"you have spoken on this job already: {job.key}")
        event: Event = (
            JobApproved(job.id, actor) if word.is_approved else JobRejected(job.id, actor, word.comment)
        )
        await self._driver.advance(change, request.run, event)


def _choose(state: RunState, names: tuple[str, ...]) -> list[JobState]:
    waiting = [
        job
        for job in state.jobs.values()
        if job.phase is JobPhase.GATED
        and job.gate is not None
        and len(job.gate.approved_by) < job.gate.approvals
    ]
    wanted = {name.casefold() for name in names}
    found = [
        job
        for job in waiting
        if job.gate is not None
        and (not names or {job.key.casefold(), job.gate.environment.casefold()} & wanted)
    ]
    if not found:
        shown = ", ".join(job.key for job in waiting)
        hint = f"these do: {shown}" if shown else ""
        raise UsageError(
            "no such job of the run waits for an approval", where=f"run {state.request.run}", hint=hint
        )
    return found


async def _check(change: Change, job: JobState, run: RunRow, caller: Caller, project: ProjectRow) -> None:
    assert job.gate is not None
    name = job.gate.environment
    environment = await environments.find_environment(change.connection, run.project, name) or Environment(
        name
    )
    if not environment.reviewers:
        check_role(caller, Role.MAINTAINER, project.id, project.name)
    elif caller.name not in environment.reviewers:
        raise RefusedError(
            f"you are none of the reviewers of the environment '{name}'",
            hint=f"they are {', '.join(environment.reviewers)}",
        )
    if not environment.is_own_review_allowed and caller.name == run.actor:
        raise RefusedError(
            f"who starts a run may not let it into the environment '{name}'", hint="ask another reviewer"
        )
