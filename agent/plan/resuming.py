"""The next try of a job that ended without having done its work, and why there is none. Pure.

    interrupted    at once, at its old place in the queue; no try of any budget is used up
    lost, gpu      of a job with checkpoints: at once, while its budget (`checkpoints.tries`) lasts
    failed         as its `retry` says, lost ones too; tries of the other two kinds don't count there

Nothing is tried again once somebody has asked for the job's end.
"""

from dataclasses import dataclass, replace

from agent.errors import AgentError
from agent.flow.checkpoints import Checkpointing, read_checkpoints
from agent.flow.expressions import evaluate_template
from agent.flow.model import Flow
from agent.plan.contexts import evaluate_retry, job_contexts
from agent.plan.draft import Draft
from agent.plan.needs import is_cancelled
from agent.plan.results import cancelled
from agent.plan.scopes import scope_of, written_job
from agent.plan.state import JobState, RunState
from agent.spec.checkpoints import ResumeReason
from agent.spec.outcome import Conclusion, FailureKind, JobResult

_LOSSES = (FailureKind.LOST, FailureKind.GPU)


@dataclass(frozen=True, slots=True)
class NextTry:
    """When the job is tried again, in seconds, and why."""

    delay: float
    reason: ResumeReason
    is_retry: bool = False  # of its `retry`


def choose_next_try(draft: Draft, job: JobState, result: JobResult) -> NextTry | None:
    """The next try of a job whose last one ended so; None: there is none."""
    is_over = result.conclusion not in (Conclusion.FAILURE, Conclusion.INTERRUPTED)
    if is_over or job.cancel_requested or is_cancelled(draft.state, scope_of(job.node)):
        return None
    if result.conclusion is Conclusion.INTERRUPTED:
        return NextTry(0.0, ResumeReason.INTERRUPTED)
    try:
        if _goes_on_after_loss(draft, job, result):
            return NextTry(0.0, ResumeReason.LOST)
        return _retry(draft, job, result)
    except AgentError:  # told when the job was queued for the first time; then it was not queued
        return None


def note_next_try(job: JobState, following: NextTry) -> JobState:
    """The job with that try counted."""
    reason = following.reason
    return replace(
        job,
        attempt=job.attempt + 1,
        resume_reason=reason.value,
        interruptions=job.interruptions + (reason is ResumeReason.INTERRUPTED),
        losses=job.losses + (reason is ResumeReason.LOST and not following.is_retry),
    )


def explain_end(draft: Draft, job: JobState, result: JobResult) -> JobResult:
    """The result as it is told: of a job whose budget is used up with that, of one that was interrupted and is not
    tried again as a cancelled one.
    """
    if result.conclusion is Conclusion.INTERRUPTED:
        return cancelled(result.message)
    if result.failure_kind not in _LOSSES or result.conclusion is not Conclusion.FAILURE:
        return result
    try:
        checkpoints = evaluate_checkpoints(draft.flow, draft.state, job)
    except AgentError:
        return result
    if checkpoints is None or job.cancel_requested or job.losses < checkpoints.tries:
        return result
    tries = (
        "only try to go on after a loss is"
        if checkpoints.tries == 1
        else f"{checkpoints.tries} tries to go on after losses are"
    )
    return replace(result, message=f"{result.message}; its {tries} used up")


def evaluate_checkpoints(flow: Flow, state: RunState, job: JobState) -> Checkpointing | None:
    """The job's checkpoints. Raises ExpressionError, UsageError."""
    written = written_job(flow, state, job.node)
    if written.checkpoints is None:
        return None
    value = evaluate_template(written.checkpoints, job_contexts(flow, state, job))
    return read_checkpoints(value, f"{written.position}: checkpoints")


def _goes_on_after_loss(draft: Draft, job: JobState, result: JobResult) -> bool:
    if result.failure_kind not in _LOSSES:
        return False
    checkpoints = evaluate_checkpoints(draft.flow, draft.state, job)
    return checkpoints is not None and job.losses < checkpoints.tries


def _retry(draft: Draft, job: JobState, result: JobResult) -> NextTry | None:
    retry = evaluate_retry(draft.flow, draft.state, job)
    kind = result.failure_kind.value if result.failure_kind else "user"
    tries = job.attempt - job.interruptions - job.losses
    if tries > retry.most or not retry.applies(kind, result.exit_code):
        return None
    reason = ResumeReason.LOST if result.failure_kind in _LOSSES else ResumeReason.FAILED
    return NextTry(retry.delay(tries), reason, is_retry=True)
