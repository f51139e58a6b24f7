"""The planner's decisions as rows, all in the transaction that the event came in.

What an agent must hear (a cancel) is read from the rows by the dispatcher; what concerns other runs (a concurrency group)
becomes a letter that the keeper of the groups heeds in a transaction of its own.
"""

from dataclasses import replace

from agent.flow.model import Flow
from agent.ids import JobId
from agent.plan import (
    AskGate,
    CancelJob,
    Decision,
    EndJob,
    EndRun,
    Event,
    ExplainEnd,
    GateSet,
    JobFinished,
    JobPhase,
    JoinGroup,
    LeaveGroup,
    QueueJob,
    RunState,
    cancelled,
    explain_waiting,
)
from agent.plan.planner import Step
from agent.server.events.changes import Change
from agent.server.events.live import DEPLOYMENTS, GROUPS, TIMERS
from agent.server.people.levels import fits_refs
from agent.server.runs import plan_states
from agent.server.runs.planning import Planner
from agent.server.runs.platform_events import tell_of_run
from agent.server.runs.resuming import find_resumed
from agent.server.store import checkpoints, environments, groups, jobs, leases, run_branches, runs
from agent.server.store import gangs as gang_store
from agent.server.store.groups import Letter
from agent.spec.status import JobStatus

_SAID = (JobPhase.GATED, JobPhase.GROUPED, JobPhase.RESTING)  # waits that no row tells of


async def carry_out(change: Change, planner: Planner, flow: Flow, project: int, step: Step) -> None:
    """Store the planner's state and decisions, and what follows from these at once."""
    state, decisions = step
    run = state.request.run
    waiting = list(decisions)
    while waiting:
        event = await _apply(change, state, project, waiting.pop(0))
        if event is not None:
            state, more = await planner.advance(flow, state, event, now=change.now)
            waiting += more
    await runs.save_plan(change.connection, run, plan_states.dump(state), state.due_at)
    if state.due_at is not None:
        change.wake(TIMERS)
    await _tell_waits(change, flow, project, state)


async def _tell_waits(change: Change, flow: Flow, project: int, state: RunState) -> None:
    """Let viewers know why jobs wait that agents have not been offered; saying it twice is for viewers to see."""
    keys = {job.key for job in state.jobs.values() if job.phase in _SAID}
    if state.place is not None and not state.place.is_held:
        keys |= set(state.nodes)
    if not keys:
        return
    for key, reason in explain_waiting(flow, state, now=change.now).items():
        if key in keys:
            await change.tell_waiting(project, state.request.run, key, reason)


async def _apply(change: Change, state: RunState, project: int, decision: Decision) -> Event | None:
    """One decision as rows; gives the event that follows at once, if one does."""
    run = state.request.run
    match decision:
        case QueueJob(spec, ranked_at):
            spec, resumed = await find_resumed(change, spec)
            await jobs.queue_job(change.connection, spec, change.now, ranked_at)
            if resumed:
                await checkpoints.set_resumed(change.connection, spec.job, resumed)
            await change.tell_job(spec.job)
        case EndJob(job, key, result, name):
            await jobs.add_ended_job(
                change.connection,
                job=job,
                run=run,
                key=key,
                name=name or key,
                result=result,
                now=change.now,
            )
            await change.tell_job(job)
        case ExplainEnd(job, result):
            await jobs.explain_end(change.connection, job, result)
            await change.tell_job(job)
        case CancelJob(job, reason, is_forced):
            return await _cancel_job(change, job, reason, is_forced=is_forced)
        case AskGate(job, _key, environment):
            return await _ask_gate(change, state, project, job, environment)
        case JoinGroup(member, place):
            letter = _letter(state, project, member, place.group, "join")
            await _post(
                change, replace(letter, cancel_in_progress=place.cancel_in_progress, queue=place.queue)
            )
        case LeaveGroup(member, group):
            await _post(change, _letter(state, project, member, group, "leave"))
        case EndRun(conclusion):
            await runs.mark_finished(change.connection, run, conclusion.value, change.now)
            await change.tell_run(run)
            await tell_of_run(change, run, "completed")
            change.wake(DEPLOYMENTS)
    change.wake_queue()
    return None


async def _cancel_job(change: Change, job: JobId, reason: str, *, is_forced: bool) -> JobFinished | None:
    """A cancelled job that nobody holds yet ends here and now; a forced one does so wherever it is."""
    await jobs.request_cancel(change.connection, job, reason)
    change.wake_queue()
    row = await jobs.find_job(change.connection, job)
    if row is not None and row.gang is not None:
        await _cancel_nodes(change, row.gang, reason, is_forced=is_forced)
    if row is None or (row.status is not JobStatus.QUEUED and not is_forced):
        await change.tell_job(job)
        return None
    result = cancelled(reason)
    ended = await jobs.finish_job(change.connection, job, result, change.now)
    await leases.end_now(change.connection, job, row.lease)  # then the dispatcher tells its agent
    await change.tell_job(ended or job)
    return None if is_forced else JobFinished(job, result)


async def _cancel_nodes(change: Change, gang: str, reason: str, *, is_forced: bool) -> None:
    """The further nodes of a job that runs on several machines."""
    for node in await gang_store.list_nodes(change.connection, gang):
        await jobs.request_cancel(change.connection, node.job.id, reason)
        if node.job.node_rank and (node.job.status is JobStatus.QUEUED or is_forced):
            await jobs.finish_job(change.connection, node.job.id, cancelled(reason), change.now)
            await leases.end_now(change.connection, node.job.id, node.job.lease)


async def _ask_gate(change: Change, state: RunState, project: int, job: JobId, name: str) -> GateSet:
    """What the environment asks for; one that nobody has described asks for nothing."""
    found = await environments.find_environment(change.connection, project, name)
    if found is None:
        return GateSet(job)
    branch = await run_branches.find_branch(change.connection, state.request.run)
    ref = "" if branch is None else branch.ref
    if not fits_refs(found.branches, ref):
        who = f"'{ref.removeprefix('refs/heads/')}'" if ref else "a run that is on no branch"
        return GateSet(
            job,
            refusal=f"{who} may not enter the environment '{found.name}': it is for {', '.join(found.branches)}",
        )
    return GateSet(job, found.approvals, found.wait_minutes * 60)


def _letter(state: RunState, project: int, member: str, group: str, kind: str) -> Letter:
    request = state.request
    return Letter(project, group.casefold(), request.run, request.attempt, member, kind)


async def _post(change: Change, letter: Letter) -> None:
    await groups.post(change.connection, [letter])
    change.wake(GROUPS)
