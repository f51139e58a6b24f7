"""A job's way from held to queued: its environment's gate, then its concurrency groups, then the queue or the call.

The gate comes first, so that nobody waits for a group that is held by a job which waits for a person.
"""

from dataclasses import replace

from agent.errors import AgentError
from agent.plan.called import open_scope, places_of_call
from agent.plan.compile import compile_job
from agent.plan.contexts import evaluate_environment, evaluate_place, evaluate_retry, job_contexts
from agent.plan.decisions import AskGate, JoinGroup, QueueJob
from agent.plan.draft import Draft
from agent.plan.ends import end_job
from agent.plan.results import cancelled, failed, impossible
from agent.plan.resuming import evaluate_checkpoints
from agent.plan.scopes import calling_jobs, scope_of
from agent.plan.state import Gate, GroupPlace, JobPhase, JobState
from agent.plan.transitions import Move, next_phase

_WAITS = (JobPhase.HELD, JobPhase.ENDED)


def admit_held(draft: Draft, node: str) -> None:
    """Let as many of the node's held jobs go on as its `max-parallel` allows."""
    limit = draft.nodes[node].max_parallel
    jobs = draft.jobs_of(node)
    busy = sum(job.phase not in _WAITS for job in jobs)
    for job in jobs:
        if draft.jobs[job.key].phase is not JobPhase.HELD:
            continue
        if limit and busy >= limit:
            return
        _admit(draft, job)
        busy += draft.jobs[job.key].phase is not JobPhase.ENDED


def pass_gate(draft: Draft, job: JobState) -> None:
    """Let a gated job go on when its environment lets it pass, or end it when nobody came in time."""
    gate = job.gate
    if job.phase is not JobPhase.GATED or gate is None or not gate.is_known:
        return
    if len(gate.approved_by) < gate.approvals:
        if draft.now >= gate.closes_at:
            message = f"nobody let the job into the environment '{gate.environment}' in time"
            end_job(draft, job, failed(message), announce=True)
    elif draft.now >= gate.opens_at:
        enter_groups(draft, job)


def retry_when_due(draft: Draft, job: JobState) -> None:
    """Queue a job again whose rest is over."""
    if job.phase is JobPhase.RESTING and job.retry_at is not None and draft.now >= job.retry_at:
        _launch(draft, job)


def enter_groups(draft: Draft, job: JobState) -> None:
    """Ask for the next concurrency group that the job needs; with all of them in hand it goes on."""
    place = next((place for place in job.places if not place.is_held), None)
    if place is None:
        _launch(draft, job)
        return
    owner = _owner_above(draft, job, place)
    if owner:
        message = f"a deadlock for concurrency group '{place.group}' was detected: {owner} is in it already"
        end_job(draft, job, cancelled(message), announce=True)
        return
    job = draft.put(replace(job, phase=next_phase(job.phase, Move.GROUP)))
    draft.decide(JoinGroup(job.key, place))


def _admit(draft: Draft, job: JobState) -> None:
    try:
        environment = evaluate_environment(draft.flow, draft.state, job)
        places = _places(draft, job)
        evaluate_retry(
            draft.flow, draft.state, job
        )  # what is wrong with it is told now, not at the first failure
        evaluate_checkpoints(draft.flow, draft.state, job)
    except AgentError as error:
        end_job(draft, job, impossible(error, draft.written(job.node)), announce=True)
        return
    job = draft.put(replace(job, places=places))
    if not environment:
        enter_groups(draft, job)
        return
    draft.put(replace(job, phase=next_phase(job.phase, Move.GATE), gate=Gate(environment)))
    draft.decide(AskGate(job.id, job.key, environment))


def _places(draft: Draft, job: JobState) -> tuple[GroupPlace, ...]:
    """The groups of a job, each once: its own, and that of the flow that it calls."""
    written = draft.written(job.node)
    places: list[GroupPlace] = []
    if written.concurrency is not None:
        contexts = job_contexts(draft.flow, draft.state, job)
        places.append(evaluate_place(written.concurrency, contexts, f"{written.position}: concurrency"))
    if written.call is not None:
        places += places_of_call(draft, job)
    return tuple({place.group.casefold(): place for place in reversed(places)}.values())[::-1]


def _owner_above(draft: Draft, job: JobState, place: GroupPlace) -> str:
    """Who of those that wait for this job's end is in the group that it wants: then neither could ever go on."""
    group = place.group.casefold()
    run = draft.state.place
    if run is not None and run.group.casefold() == group:
        return "the run"
    for caller in calling_jobs(draft.state, scope_of(job.node)):
        if any(held.group.casefold() == group for held in caller.places):
            return f"the job '{caller.key}'"
    return ""


def _launch(draft: Draft, job: JobState) -> None:
    """Queue the job, or open the flow that it calls."""
    try:
        if draft.written(job.node).call is not None:
            open_scope(draft, job)
            draft.put(replace(job, phase=next_phase(job.phase, Move.CALL)))
            return
        spec = compile_job(draft.flow, draft.state, job)
    except AgentError as error:
        end_job(draft, job, impossible(error, draft.written(job.node)), announce=True)
        return
    phase = next_phase(job.phase, Move.QUEUE)
    ranked_at = draft.now if job.ranked_at is None else job.ranked_at
    draft.put(
        replace(
            job, phase=phase, continue_on_error=spec.continue_on_error, retry_at=None, ranked_at=ranked_at
        )
    )
    draft.decide(QueueJob(spec, ranked_at))
