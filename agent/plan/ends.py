"""Ends of jobs: by their own word, cancelled, to be tried again; and what that does to their siblings."""

from dataclasses import replace
from hashlib import sha256

from agent.errors import AgentError
from agent.flow.expressions import CostError, evaluate, is_truthy
from agent.ids import JobId, make_id
from agent.plan.contexts import node_contexts
from agent.plan.decisions import CancelJob, EndJob, ExplainEnd, LeaveGroup
from agent.plan.draft import Draft
from agent.plan.needs import is_cancelled, status_functions
from agent.plan.results import cancelled
from agent.plan.resuming import choose_next_try, explain_end, note_next_try
from agent.plan.state import GroupPlace, JobPhase, JobState, RunStart
from agent.plan.transitions import Move, next_phase
from agent.spec.outcome import Conclusion, JobResult

_OUT = (JobPhase.QUEUED, JobPhase.RUNNING)


def make_job_id(request: RunStart, key: str, attempt: int) -> JobId:
    """The identifier of a try of a job: the same whenever the same run is planned again."""
    name = f"/{request.attempt}/{key}" + (f"\0{attempt}" if attempt > 1 else "")  # no key holds a NUL
    return JobId(make_id("job", sha256(request.seed + name.encode()).digest()))


def finish_job(draft: Draft, job: JobId, result: JobResult) -> None:
    """The end of a job that was out, or the beginning of its next try."""
    state = draft.state.job_by_id(job)
    if state is None or state.phase not in _OUT:
        return
    following = choose_next_try(draft, state, result)
    if following is None:
        told = explain_end(draft, state, result)
        if told != result:
            draft.decide(ExplainEnd(state.id, told))
        end_job(draft, state, told)
        return
    again = note_next_try(state, following)
    draft.put(
        replace(
            again,
            id=make_job_id(draft.state.request, state.key, again.attempt),
            phase=next_phase(state.phase, Move.REST),
            retry_at=draft.now + following.delay,
        )
    )


def end_job(
    draft: Draft, job: JobState, result: JobResult, *, announce: bool = False, name: str = ""
) -> None:
    """The end of a job; with `announce` nobody but the planner knows of it yet. A failure may end its siblings."""
    places = entered_places(job)
    draft.put(replace(job, phase=next_phase(job.phase, Move.END), result=result, places=(), retry_at=None))
    if announce:
        draft.decide(EndJob(job.id, job.key, result, name))
    for place in places:
        draft.decide(LeaveGroup(job.key, place.group))
    if (
        result.conclusion is Conclusion.FAILURE
        and not job.continue_on_error
        and draft.nodes[job.node].fail_fast
    ):
        for sibling in draft.jobs_of(job.node):
            cancel_job(draft, draft.jobs[sibling.key], f"{job.key} failed and fail-fast is on")


def cancel_job(draft: Draft, job: JobState, reason: str, *, is_forced: bool = False) -> None:
    """See to it that a job ends; `is_forced`: now, and without asking any condition."""
    if job.phase is JobPhase.ENDED:
        return
    if job.phase is JobPhase.CALLING:
        _cancel_call(draft, job, reason, is_forced=is_forced)
    elif job.phase not in _OUT:
        end_job(draft, job, cancelled(reason), announce=True)
    elif is_forced:
        draft.decide(CancelJob(job.id, reason, is_forced=True))
        end_job(draft, job, cancelled(reason))
    elif not job.cancel_requested:
        draft.put(replace(job, cancel_requested=True))
        draft.decide(CancelJob(job.id, reason))


def cancel_scope(draft: Draft, scope: str, reason: str, *, is_forced: bool = False) -> None:
    """Cancel the jobs of a scope that their conditions don't keep going."""
    for key in draft.nodes_in(scope):
        is_kept = not is_forced and is_wanted(draft, key)
        for job in draft.jobs_of(key):
            if job.phase is JobPhase.CALLING and is_kept and is_cancelled(draft.state, job.key):
                cancel_scope(draft, job.key, reason)
            elif not is_kept:
                cancel_job(draft, draft.jobs[job.key], reason, is_forced=is_forced)


def is_wanted(draft: Draft, node: str, *, default_when_broken: bool = True) -> bool:
    """Whether the node's `if` holds now. A running job whose condition can't be evaluated is left alone; one whose
    condition costs too much is not, or nobody could cancel it.
    """
    try:
        functions = status_functions(draft.flow, draft.state, node)
        contexts = node_contexts(draft.flow, draft.state, node)
        return is_truthy(evaluate(draft.written(node).condition, contexts, functions))
    except AgentError as error:
        if default_when_broken:
            return not isinstance(error, CostError)
        raise


def entered_places(job: JobState) -> tuple[GroupPlace, ...]:
    """The groups that a job holds or waits for: those that it has to leave."""
    held = tuple(place for place in job.places if place.is_held)
    waits = job.phase is JobPhase.GROUPED and len(held) < len(job.places)
    return job.places[: len(held) + 1] if waits else held


def _cancel_call(draft: Draft, job: JobState, reason: str, *, is_forced: bool) -> None:
    if job.cancel_requested and not is_forced:
        return
    draft.put(replace(job, cancel_requested=True))
    cancel_scope(draft, job.key, reason, is_forced=is_forced)
