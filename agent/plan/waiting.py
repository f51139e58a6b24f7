"""Waiting: why a job of a run has not been offered to agents yet, in words."""

from collections.abc import Mapping

from agent.flow.model import Flow
from agent.plan.needs import needs_of
from agent.plan.scopes import scope_of
from agent.plan.state import Gate, JobPhase, JobState, RunState


def explain_waiting(flow: Flow, state: RunState, *, now: float) -> Mapping[str, str]:
    """For each job that is held back, and each node that is not expanded yet, why it waits.

    A calling job whose flow runs is not among them: its flow's jobs are.
    """
    if state.place is not None and not state.place.is_held:
        return dict.fromkeys(state.nodes, f"waits for the concurrency group '{state.place.group}'")
    nodes = {
        key: _explain_node(flow, state, key) for key, node in state.nodes.items() if not node.is_expanded
    }
    jobs = {job.key: _explain_job(job, now) for job in state.jobs.values()}
    return {**nodes, **{key: reason for key, reason in jobs.items() if reason}}


def _explain_node(flow: Flow, state: RunState, key: str) -> str:
    scope = scope_of(key)
    if scope and state.jobs[scope].phase is not JobPhase.CALLING:
        return f"waits for the job that calls it: {scope}"
    open_needs = [name for name, need in needs_of(flow, state, key).items() if need.result is None]
    return f"waits for needs: {', '.join(open_needs)}"


def _explain_job(job: JobState, now: float) -> str:
    match job.phase:
        case JobPhase.HELD:
            return "waits for another job of its matrix (max-parallel)"
        case JobPhase.GATED if job.gate is not None:
            return _explain_gate(job.gate, now)
        case JobPhase.GROUPED:
            group = next(place.group for place in job.places if not place.is_held)
            return f"waits for the concurrency group '{group}'"
        case JobPhase.RESTING if job.retry_at is not None:
            return f"failed; attempt {job.attempt} begins in {_show_seconds(job.retry_at - now)}"
        case (
            JobPhase.GATED
            | JobPhase.RESTING
            | JobPhase.QUEUED
            | JobPhase.RUNNING
            | JobPhase.CALLING
            | JobPhase.ENDED
        ):
            return ""


def _explain_gate(gate: Gate, now: float) -> str:
    environment = f"the environment '{gate.environment}'"
    if not gate.is_known:
        return f"waits for {environment}"
    if len(gate.approved_by) < gate.approvals:
        count = f" ({len(gate.approved_by)} of {gate.approvals})" if gate.approvals > 1 else ""
        return f"waits for an approval to enter {environment}{count}"
    return f"waits for the wait timer of {environment}: {_show_seconds(gate.opens_at - now)} more"


def _show_seconds(seconds: float) -> str:
    seconds = max(0, round(seconds))
    if seconds < 120:
        return f"{seconds} s"
    return f"{round(seconds / 60)} min" if seconds < 7200 else f"{round(seconds / 3600)} h"
