"""A node whose needs have ended becomes its jobs: one a cell of its matrix, or one that stands in for all of them."""

from dataclasses import replace

from agent.errors import AgentError, UsageError
from agent.plan.chosen import choose_cells
from agent.plan.contexts import evaluate_strategy, node_contexts, show_name
from agent.plan.draft import Draft
from agent.plan.ends import end_job, is_wanted, make_job_id
from agent.plan.matrix import Cell, expand_matrix
from agent.plan.needs import are_needs_met, is_cancelled
from agent.plan.results import cancelled, impossible
from agent.plan.scopes import scope_of
from agent.plan.state import JobState, NodeState
from agent.spec.outcome import Conclusion, JobResult

MAX_JOBS = 2000  # of a run, with all that it calls


def expand_when_ready(draft: Draft, node: str) -> None:
    """Expand a node as soon as its needs have ended, or end it at once when its condition says so."""
    if draft.nodes[node].is_expanded or not are_needs_met(draft.flow, draft.state, node):
        return
    reason = draft.state.cancel_reason or "the job that calls it was cancelled"
    if draft.state.is_forced:
        _end_unexpanded(draft, node, cancelled(reason))
        return
    try:
        if is_wanted(draft, node, default_when_broken=False):
            _expand(draft, node)
        elif is_cancelled(draft.state, scope_of(node)):
            _end_unexpanded(draft, node, cancelled(reason))
        else:
            _end_unexpanded(draft, node, JobResult(Conclusion.SKIPPED))
    except AgentError as error:
        _end_unexpanded(draft, node, impossible(error, draft.written(node)))


def renew_job(draft: Draft, key: str, node: str, index: int, cell: Cell) -> JobState:
    """A job as it begins in the present attempt of the run."""
    request = draft.state.request
    job = JobState(make_job_id(request, key, 1), key, node, index, cell=cell.values, label=cell.label)
    return draft.put(replace(job, run_attempt=request.attempt))


def _expand(draft: Draft, node: str) -> None:
    contexts = node_contexts(draft.flow, draft.state, node)
    matrix, fail_fast, limit = evaluate_strategy(draft.written(node).strategy, contexts)
    cells = (
        [Cell({}, "")]
        if matrix is None
        else choose_cells(expand_matrix(matrix), draft.state.request.only_cells)
    )
    if len(draft.jobs) + len(cells) > MAX_JOBS:
        raise UsageError(f"the run has more than {MAX_JOBS} jobs", where=node)
    jobs = [_new_job(draft, node, index, cell) for index, cell in enumerate(cells)]
    draft.put_node(
        node,
        NodeState(tuple(job.key for job in jobs), is_expanded=True, fail_fast=fail_fast, max_parallel=limit),
    )


def _new_job(draft: Draft, node: str, index: int, cell: Cell) -> JobState:
    key = f"{node} ({cell.label})" if cell.label else node
    if key in draft.jobs or (index > 0 and not cell.label):
        key = f"{key} #{index + 1}"
    return renew_job(draft, key, node, index, cell)


def _end_unexpanded(draft: Draft, node: str, result: JobResult) -> None:
    job = _new_job(draft, node, 0, Cell({}, ""))
    draft.put_node(node, replace(draft.nodes[node], jobs=(job.key,), is_expanded=True))
    end_job(draft, draft.put(replace(job, stands_in=True)), result, announce=True, name=_name(draft, job))


def _name(draft: Draft, job: JobState) -> str:
    try:
        return show_name(draft.flow, draft.state, job)
    except AgentError:  # the name needs what only an expanded job has: its key says enough
        return job.key
