"""Runs: submitted, driven by the planner, cancelled, run again.

The planner says what follows from an event; `agent.server.runs.decisions` makes rows of that, in the transaction that the event
came in.
"""

import json
import secrets as entropy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from agent import codec
from agent.errors import NotFoundError, UsageError
from agent.flow.model import Flow
from agent.flow.repository import split_repository
from agent.ids import JobId, RunId
from agent.plan import (
    Event,
    JobFinished,
    RunCancelled,
    RunStart,
    RunState,
    cancelled,
)
from agent.plan.request import RunRequest, choose_event, explain_all_unset, make_start
from agent.plan.rerun import Again
from agent.server.events import audit
from agent.server.events.changes import Change, Changes
from agent.server.people.auth.access import Caller
from agent.server.people.levels import nearest
from agent.server.people.vault import Vault, check_run_secrets
from agent.server.pools import Pool
from agent.server.process.problems import ConflictError, TooManyError
from agent.server.runs import gangs, plan_states
from agent.server.runs.decisions import carry_out
from agent.server.runs.flow_cache import FlowCache
from agent.server.runs.long_events import LongEvents
from agent.server.runs.planning import Planner
from agent.server.runs.platform_events import tell_of_run
from agent.server.runs.sources import allow_projects, check_sources
from agent.server.runs.starters import check_starter
from agent.server.store import (
    deployments,
    jobs,
    projects,
    queue,
    repositories,
    run_secrets,
    runs,
    settings,
    snapshots,
)
from agent.server.store import gangs as gang_store
from agent.server.store.database import Connection
from agent.server.store.deliveries import OriginRow, add_origin
from agent.server.store.jobs import JobRow
from agent.server.store.projects import DEFAULT, ProjectRow
from agent.server.store.run_branches import RunBranch, add_branch
from agent.server.store.runs import StoredPlan
from agent.spec.conventions import JOB_TOKEN
from agent.spec.job import JobSpec, Source, SourceKind
from agent.spec.outcome import Conclusion, JobResult
from agent.spec.status import JobStatus, RunStatus


@dataclass(frozen=True, slots=True)
class Submission:
    """A flow's text, what is asked of it, and the project (its id) that the run belongs to."""

    file: str
    text: str
    dialect: str | None = None
    request: RunRequest = field(default_factory=RunRequest)
    called: Mapping[str, str] = field(default_factory=dict)  # texts of the flows that it calls, by reference
    project: int = DEFAULT
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  # of this run alone
    branch: RunBranch | None = (
        None  # that the server has found it on; None: on no branch, whatever `request` says
    )
    by: Caller | None = (
        None  # who asks for it, and needs the role that the flow says; None: it starts by itself
    )
    origin: OriginRow | None = (
        None  # what starts it, when that is no person with the text; its `run` is filled in
    )
    caller: Caller | None = (
        None  # the person with the text: what they may read of other projects, the run may
    )


class Started(NamedTuple):
    """A run that was started, and what the person who asked for it should be told."""

    run: int
    warnings: tuple[str, ...] = ()


class Runs:
    """The runs of this server."""

    def __init__(self, changes: Changes, flows: FlowCache, vault: Vault, plans: Pool) -> None:
        self._changes = changes
        self._flows = flows
        self._vault = vault
        self._plans = plans
        self._planner = Planner(plans)
        self._long_events = LongEvents(plans)

    async def submit(self, submission: Submission) -> Started:
        """Start a run.

        Raises InvalidFlowError; UsageError for a secret, an input, a job or a snapshot that does not exist, or a form that is filled
        in wrongly; RefusedError for who has not the role that the flow asks for.
        """
        async with self._changes.begin() as change:
            return await self.start(change, submission)

    async def start(self, change: Change, submission: Submission) -> Started:
        """Like `submit`, in a change that does more."""
        called = json.dumps(dict(submission.called), sort_keys=True)
        flow = await self._flows.read(
            submission.file, submission.text, submission.dialect, called, self._plans
        )
        await check_starter(change.connection, flow, submission.project, submission.by)
        project = await projects.find_project(change.connection, submission.project)
        await _check_quota(change.connection, project)
        await check_snapshot(change.connection, submission.project, submission.request.source)
        if project is not None and project.settings.serve_repositories:
            submission = await _serve_connected(change.connection, submission)
        own = check_run_secrets(submission.secrets)
        is_strict = project is not None and project.settings.strict_secrets
        start, unset = await _add_run(change, flow, submission, own, is_strict=is_strict)
        start = await self._long_events.set_apart(change.connection, flow.dialect, start)
        await runs.name_run(change.connection, start.run, await self._planner.name_run(flow, start))
        await self._vault.put_for_run(change.connection, start.run, own)
        if submission.origin is not None:
            await add_origin(change.connection, replace(submission.origin, run=start.run))
        if submission.branch is not None:
            await add_branch(change.connection, start.run, submission.branch)
        await tell_of_run(change, start.run, "requested")
        step = await self._planner.begin(flow, start, now=change.now)
        await allow_projects(change.connection, flow, start.run, submission.caller)
        await check_sources(change.connection, flow, step[0], submission.project)
        await carry_out(change, self._planner, flow, submission.project, step)
        await change.tell_run(start.run)
        audit.note(run=start.run, **({"secrets": sorted(own)} if own else {}))
        return Started(start.run, unset)

    async def cancel(self, run: int, reason: str, *, is_forced: bool = False) -> None:
        """End a run. `is_forced`: now, whatever conditions say. Raises NotFoundError, and ConflictError when it is over."""
        async with self._changes.begin() as change:
            await change.lock_run(run)
            row = await runs.find_run(change.connection, run)
            if row is None:
                raise NotFoundError(f"there is no run {run}")
            if row.status is RunStatus.COMPLETED:
                raise ConflictError(
                    f"run {run} is over already: {row.conclusion}", hint=f"`agent run show {run}` says more"
                )
            await runs.mark_cancelled(change.connection, run, reason)
            await change.tell_run(run)
            await self.advance(change, run, RunCancelled(reason, is_forced))

    async def advance(self, change: Change, run: int, event: Event, *, attempt: int = 0) -> None:
        """Let the planner see `event`, and store what it decides. With `attempt`: only if that is the run's present one."""
        await change.lock_run(run)
        plan = await runs.load_plan(change.connection, run)
        if plan is None or plan.status is RunStatus.COMPLETED:
            return
        flow, state = await self._read(change.connection, plan, run)
        if attempt in (0, state.request.attempt):
            step = await self._planner.advance(flow, state, event, now=change.now)
            await carry_out(change, self._planner, flow, plan.project, step)

    async def rerun(self, run: int, again: Again, by: Caller) -> int:
        """Begin the run's next attempt, and give its number.

        Raises NotFoundError, RefusedError as `submit`, ConflictError for the run of a deployment, and what the planner raises.
        """
        async with self._changes.begin() as change:
            await change.lock_run(run)
            plan = await runs.load_plan(change.connection, run)
            if plan is None:
                raise NotFoundError(f"there is no run {run}")
            await _refuse_deployed(change.connection, run)
            flow, state = await self._read(change.connection, plan, run)
            await check_starter(change.connection, flow, plan.project, by)
            own = await run_secrets.list_secrets(change.connection, run)
            known = await _known_secrets(change.connection, plan.project, own)
            again = replace(again, secrets=(JOB_TOKEN, *known))
            step = await self._planner.rerun(flow, state, again, now=change.now)
            await runs.archive_attempt(change.connection, run, again.actor)
            await allow_projects(change.connection, flow, run, by)
            await carry_out(change, self._planner, flow, plan.project, step)
            await change.tell_run(run)
        return step[0].request.attempt

    def read(self, plan: StoredPlan, run: int) -> tuple[Flow, RunState]:
        """The flow and the state of a stored plan, less an event that is kept apart: for who looks, and plans nothing."""
        flow = self._flows.parse(plan.file, plan.text, plan.dialect, plan.called)
        return flow, plan_states.parse(plan.state, where=f"run {run}")

    async def _read(self, connection: Connection, plan: StoredPlan, run: int) -> tuple[Flow, RunState]:
        await self._flows.read(plan.file, plan.text, plan.dialect, plan.called, self._plans)
        flow, state = self.read(plan, run)
        return flow, await self._long_events.fill_state(connection, state)

    async def fill_job(self, connection: Connection, spec: JobSpec) -> JobSpec:
        """A stored job's specification with all of its event, which may be long. Raises DamagedError."""
        return await self._long_events.fill_job(connection, spec)

    async def complete(self, spec: JobSpec) -> JobSpec:
        """As `fill_job`, for who is in no transaction."""
        if spec.event_apart is None:
            return spec
        async with self._changes.database.read() as connection:
            return await self.fill_job(connection, spec)

    async def finish_job(self, change: Change, job: str, result: JobResult) -> bool:
        """A job's end, and what follows from it in its run; False when it had ended already."""
        row = await change.lock_job(job)
        return row is not None and await self.finish_row(change, row, result)

    async def finish_row(self, change: Change, row: JobRow, result: JobResult) -> bool:
        """As `finish_job`, for who has locked the job in this change."""
        if row.gang is not None:
            return await self._finish_node(change, row, result)
        ended = await jobs.finish_job(change.connection, row.id, result, change.now)
        if ended is None:
            return False
        await change.tell_job(ended)
        await self.advance(change, row.run, JobFinished(JobId(row.id), result))
        change.wake_queue()
        return True

    async def _finish_node(self, change: Change, row: JobRow, result: JobResult) -> bool:
        """One node of a gang has ended: one that did not succeed ends the others, and the last one ends the job."""
        gang = row.gang or row.id
        is_first = row.id == gang
        noted = (
            await gang_store.note_end(change.connection, row.id, result)
            if is_first
            else await jobs.finish_job(change.connection, row.id, result, change.now)
        )
        if not noted:
            return False
        await change.tell_job(row.id)
        if result.conclusion is not Conclusion.SUCCESS:
            await self._end_gang(change, gang, gangs.explain_failure(row, result))
        nodes = [node.job for node in await gang_store.list_nodes(change.connection, gang)]
        if all(gangs.has_ended(node) for node in nodes):
            verdict = gangs.judge(nodes)
            await jobs.finish_job(change.connection, gang, verdict, change.now)
            await change.tell_job(gang)
            await self.advance(change, row.run, JobFinished(JobId(gang), verdict))
        change.wake_queue()
        return True

    async def _end_gang(self, change: Change, gang: str, reason: str) -> None:
        """Ask every node that still runs to end; those that nobody holds end here and now."""
        for node in await gang_store.list_nodes(change.connection, gang):
            if not gangs.has_ended(node.job):
                await jobs.request_cancel(change.connection, node.job.id, reason)
                if node.job.status is JobStatus.QUEUED:
                    await self._finish_node(change, node.job, cancelled(reason))


async def _add_run(
    change: Change,
    flow: Flow,
    submission: Submission,
    own: Mapping[str, str],
    *,
    is_strict: bool,
) -> tuple[RunStart, tuple[str, ...]]:
    """The run's start, and a sentence about each secret or variable that nobody has set."""
    asked = submission.request
    number = await runs.next_number(change.connection, submission.project, submission.file)
    run = await runs.add_run(
        change.connection,
        project=submission.project,
        number=number,
        file=submission.file,
        dialect=submission.dialect,
        title=flow.title,
        text=submission.text,
        event=choose_event(flow, asked.event),
        actor=asked.actor,
        source=codec.dump(asked.source),
        called=json.dumps(dict(submission.called), sort_keys=True),
        created_at=change.now,
    )
    stored = nearest(await settings.list_variables(change.connection, submission.project))
    variables = {**{name: row.value for name, row in stored.items()}, **asked.vars}
    known = await _known_secrets(change.connection, submission.project, own)
    start = make_start(
        flow,
        replace(
            asked,
            vars=variables,
            project=str(submission.project),
            is_strict=is_strict,
        ),
        run=RunId(run),
        number=number,
        seed=entropy.token_bytes(16),
        secrets=known,
    )
    return start, explain_all_unset(flow, asked, known)


async def _serve_connected(connection: Connection, submission: Submission) -> Submission:
    """The run's jobs read its code here, where it is of a connected repository of its project."""
    source = submission.request.source
    wanted = split_repository(source.url)
    if source.kind is not SourceKind.GIT or not wanted[1]:
        return submission
    known = await repositories.list_repositories(connection, submission.project)
    row = next((one for one in known if split_repository(one.url) == wanted), None)
    if row is None:
        return submission
    served = replace(source, is_served=True, default_branch=source.default_branch or row.default_branch)
    return replace(submission, request=replace(submission.request, source=served))


async def _refuse_deployed(connection: Connection, run: int) -> None:
    """Raises ConflictError for a run of a deployment: it was followed by another, and would do that one's work beside it."""
    names = await deployments.names_of(connection, [run])
    if run in names:
        raise ConflictError(
            f"run {run} is one of deployment '{names[run]}', which has another one by now",
            hint="`agent flow deployments` names it; `agent flow deploy` starts it anew",
        )


async def _known_secrets(connection: Connection, project: int, own: Iterable[str]) -> tuple[str, ...]:
    """The names of the secrets that there are for a run: its project's, and its `own`."""
    stored = nearest(await settings.list_secrets(connection, project))
    return tuple(dict.fromkeys((*stored, *own)))


async def _check_quota(connection: Connection, project: ProjectRow | None) -> None:
    """Raises TooManyError when the project has as many jobs waiting as it may."""
    if project is None:
        return
    most = project.settings.max_queued_jobs
    if most is not None and await queue.count_queued(connection, project.id) >= most:
        raise TooManyError(
            f"the project '{project.name}' has {most} jobs waiting already, as many as it may",
            hint="wait for some to run, or have an admin of the project raise max_queued_jobs",
        )


async def check_snapshot(connection: Connection, project: int, source: Source) -> None:
    """Raises UsageError when the snapshot that `source` names is not the project's."""
    if source.kind is not SourceKind.SNAPSHOT:
        return
    beside = [digest for one in source.beside for digest in one.bundles]
    for digest in (source.digest, *source.bundles, *beside):
        if await snapshots.find_snapshot(connection, project, digest) is None:
            raise UsageError(
                "the snapshot that the run works on is not in this project",
                where=digest or "source.digest",
                hint="upload it first: PUT /api/v1/snapshots/sha256:HEX",
            )
