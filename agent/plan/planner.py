"""The run's state machine: `begin` and `advance`. What follows from an event is `agent.plan.settle`'s."""

from dataclasses import replace

from agent.errors import UsageError
from agent.flow.expressions import PLANNING, ExpressionError, spending
from agent.flow.model import Flow
from agent.ids import JobId
from agent.plan.admit import enter_groups
from agent.plan.chosen import check_cells, choose_jobs
from agent.plan.contexts import evaluate_place, flow_contexts
from agent.plan.decisions import Decision, JoinGroup
from agent.plan.draft import Draft
from agent.plan.ends import cancel_job, cancel_scope, end_job, finish_job
from agent.plan.events import (
    Event,
    GateSet,
    GroupEntered,
    GroupLost,
    JobApproved,
    JobFinished,
    JobRejected,
    JobStarted,
    RunCancelled,
    TimePassed,
)
from agent.plan.results import failed
from agent.plan.settle import settle
from agent.plan.state import GroupPlace, JobPhase, JobState, NodeState, RunStart, RunState
from agent.plan.transitions import Move, next_phase

Step = tuple[RunState, tuple[Decision, ...]]

APPROVAL_SECONDS = 30 * 24 * 3600.0  # how long an approval is waited for, as on GitHub


def begin(flow: Flow, request: RunStart, *, now: float) -> Step:
    """The first state of a run, and what to do first. `now`: seconds since the epoch.

    `flow` has the flows that it calls joined to it (agent.flow.called). Raises UsageError when `request.only_jobs` names
    a job or a matrix cell that the flow does not have, and when its concurrency group can't be evaluated.
    """
    chosen = choose_jobs(flow, request.only_jobs)
    state = RunState(request, {name: NodeState() for name in chosen})
    draft = Draft(flow, state, now)
    with spending(PLANNING):
        check_cells(flow, request.only_cells)
        join_group_of_run(draft)
        settle(draft)
    return draft.freeze(), tuple(draft.decisions)


def advance(flow: Flow, state: RunState, event: Event, *, now: float) -> Step:
    """The state after `event`, and what to do about it. Repeated, late and unknown events change nothing."""
    if state.conclusion is not None:
        return state, ()
    draft = Draft(flow, state, now)
    with spending(PLANNING):
        _heed(draft, event)
        settle(draft)
    return draft.freeze(), tuple(draft.decisions)


def join_group_of_run(draft: Draft) -> None:
    """Ask for the run's own place in a concurrency group, when it has one. Raises UsageError."""
    concurrency = draft.flow.concurrency
    if concurrency is None:
        return
    where = f"{draft.flow.file}: concurrency"
    try:
        place = evaluate_place(concurrency, flow_contexts(draft.state, ""), where)
    except ExpressionError as error:
        raise UsageError(f"the run's group can't be evaluated: {error}", where=where) from None
    draft.change(replace(draft.state, place=place))
    draft.decide(JoinGroup("", place))


def _heed(draft: Draft, event: Event) -> None:
    match event:
        case JobStarted(job):
            _start_job(draft, job)
        case JobFinished(job, result):
            finish_job(draft, job, result)
        case RunCancelled(reason, is_forced):
            _cancel_run(draft, reason, is_forced=is_forced)
        case GateSet():
            _set_gate(draft, event)
        case JobApproved(job, by):
            _approve(draft, job, by)
        case JobRejected():
            _reject(draft, event)
        case GroupEntered(member, group):
            _enter_group(draft, member, group)
        case GroupLost(member, group, reason):
            _lose_group(draft, member, group, reason)
        case TimePassed():
            pass  # settling looks at the clock


def _start_job(draft: Draft, job: JobId) -> None:
    state = draft.state.job_by_id(job)
    if state is not None and state.phase in (JobPhase.QUEUED, JobPhase.RUNNING, JobPhase.ENDED):
        draft.put(replace(state, phase=next_phase(state.phase, Move.START)))


def _cancel_run(draft: Draft, reason: str, *, is_forced: bool) -> None:
    state = draft.state
    place = state.place
    is_forced = is_forced or (place is not None and not place.is_held)  # it never ran: no condition is asked
    if state.cancel_reason is not None and (not is_forced or state.is_forced):
        return
    place = None if place is None else replace(place, is_held=True)
    draft.change(
        replace(state, cancel_reason=state.cancel_reason or reason, is_forced=is_forced, place=place)
    )
    cancel_scope(draft, "", reason, is_forced=is_forced)


def _gated(draft: Draft, job: JobId) -> JobState | None:
    state = draft.state.job_by_id(job)
    return state if state is not None and state.phase is JobPhase.GATED else None


def _set_gate(draft: Draft, event: GateSet) -> None:
    job = _gated(draft, event.job)
    if job is None or job.gate is None or job.gate.is_known:
        return
    if event.refusal:
        end_job(draft, job, failed(event.refusal), announce=True)
        return
    gate = replace(
        job.gate,
        is_known=True,
        approvals=event.approvals,
        opens_at=draft.now + event.wait_seconds,
        closes_at=draft.now + APPROVAL_SECONDS,
    )
    draft.put(replace(job, gate=gate))


def _approve(draft: Draft, id_: JobId, by: str) -> None:
    job = _gated(draft, id_)
    if job is not None and job.gate is not None and by not in job.gate.approved_by:
        draft.put(replace(job, gate=replace(job.gate, approved_by=(*job.gate.approved_by, by))))


def _reject(draft: Draft, event: JobRejected) -> None:
    job = _gated(draft, event.job)
    if job is not None:
        comment = f": {event.comment}" if event.comment else ""
        end_job(draft, job, failed(f"{event.by} did not let the job pass{comment}"), announce=True)


def _waiting_place(draft: Draft, member: str, group: str) -> tuple[JobState, GroupPlace] | None:
    """The job `member` and its place in `group`, when that is what the job waits for."""
    job = draft.jobs.get(member)
    if job is None or job.phase is not JobPhase.GROUPED:
        return None
    place = next((place for place in job.places if not place.is_held), None)
    is_it = place is not None and place.group.casefold() == group.casefold()
    return (job, place) if is_it and place is not None else None


def _enter_group(draft: Draft, member: str, group: str) -> None:
    if not member:
        place = draft.state.place
        if place is not None and place.group.casefold() == group.casefold() and not place.is_held:
            draft.change(replace(draft.state, place=replace(place, is_held=True)))
        return
    waiting = _waiting_place(draft, member, group)
    if waiting is not None:
        job, entered = waiting
        places = tuple(replace(place, is_held=True) if place is entered else place for place in job.places)
        enter_groups(draft, draft.put(replace(job, places=places)))


def _lose_group(draft: Draft, member: str, group: str, reason: str) -> None:
    if not member:
        place = draft.state.place
        if place is not None and place.group.casefold() == group.casefold():
            _cancel_run(draft, reason, is_forced=False)
        return
    job = draft.jobs.get(member)
    if job is not None and any(place.group.casefold() == group.casefold() for place in job.places):
        cancel_job(draft, job, reason)
