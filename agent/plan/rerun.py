"""A further attempt of a run that has ended: all of it, or some jobs and what comes after them.

What is not run again keeps its result and outputs. The source, the inputs and the event are those of the first attempt;
the names of secrets are today's, so that a secret that was missing can be set and the run repeated.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.errors import UsageError
from agent.flow.expressions import PLANNING, spending
from agent.flow.model import Flow
from agent.plan.draft import Draft
from agent.plan.expand import renew_job
from agent.plan.matrix import Cell
from agent.plan.needs import ancestors
from agent.plan.planner import Step, begin, join_group_of_run
from agent.plan.scopes import flow_of, join_key, name_of
from agent.plan.settle import settle
from agent.plan.state import JobState, NodeState, RunStart, RunState
from agent.spec.outcome import Conclusion


@dataclass(frozen=True, slots=True)
class Again:
    """What to run again: all, the failed and cancelled jobs (`only_failed`), or `jobs` by key or by their flow's name."""

    jobs: tuple[str, ...] = ()
    only_failed: bool = False
    is_debug: bool = False  # steps show their debug output
    hold_minutes: float = 0.0  # of jobs that fail this time
    actor: str = ""
    secrets: tuple[str, ...] = ()  # the names that exist now


def rerun(flow: Flow, state: RunState, again: Again, *, now: float) -> Step:
    """The run's next attempt, begun. Dependants of what runs again run again too.

    Raises UsageError when the run has not ended, there is nothing to run again, or a job is not known.
    """
    if state.conclusion is None:
        raise UsageError("the run has not ended yet", hint="cancel it first, or wait")
    request = _next_request(flow, state.request, again)
    if not again.jobs and not again.only_failed:
        return begin(flow, request, now=now)
    fresh = replace(state, request=request, conclusion=None, cancel_reason=None, is_forced=False, place=None)
    draft = Draft(flow, fresh, now)
    _Reset(draft, _choose(state, again)).reset_scope("")
    with spending(PLANNING):
        join_group_of_run(draft)
        settle(draft)
    return draft.freeze(), tuple(draft.decisions)


def _next_request(flow: Flow, request: RunStart, again: Again) -> RunStart:
    attempt = request.attempt + 1
    debug = flow.dialect.debug_variables if again.is_debug else {}
    return replace(
        request,
        attempt=attempt,
        contexts=flow.dialect.next_contexts(request.contexts, attempt, again.actor),
        secrets=again.secrets if again.secrets and request.sees_secrets else request.secrets,
        vars={**request.vars, **debug},
        hold_minutes=again.hold_minutes,
    )


def _choose(state: RunState, again: Again) -> Callable[[JobState], bool]:
    if again.only_failed:
        bad = (Conclusion.FAILURE, Conclusion.CANCELLED)
        chosen = {
            job.key for job in state.jobs.values() if job.result is not None and job.result.conclusion in bad
        }
        if not chosen:
            raise UsageError("no job of the run failed", hint="run all of it again, or name jobs")
        # A call is run again for the sake of the jobs in it; only one that never began is run again by itself.
        return lambda job: job.key in chosen and job.key not in state.scopes
    known = {job.key for job in state.jobs.values()} | set(state.nodes)
    for name in again.jobs:
        if name not in known:
            raise UsageError(f"the run has no job '{name}'", hint=f"it has {', '.join(state.jobs)}")
    wanted = set(again.jobs)
    return lambda job: job.key in wanted or job.node in wanted


class _Reset:
    """Takes back what shall run again, scope by scope."""

    def __init__(self, draft: Draft, is_chosen: Callable[[JobState], bool]) -> None:
        self._draft = draft
        self._is_chosen = is_chosen

    def reset_scope(self, scope: str) -> bool:
        """Whether anything of the scope runs again."""
        state = self._draft.state
        flow = flow_of(self._draft.flow, state, scope)
        nodes = self._draft.nodes_in(scope)
        touched = {key for key in nodes if self._reset_jobs(key)}
        for key in nodes:
            before = {join_key(scope, name) for name in ancestors(flow, name_of(key))}
            if before & touched:
                self._forget(key)
                self._draft.put_node(key, NodeState())
        return bool(touched)

    def _reset_jobs(self, node: str) -> bool:
        """Reset the node's chosen jobs; the others keep what they came to."""
        state = self._draft.nodes[node]
        changed = [job for job in self._draft.jobs_of(node) if self._reset_job(job)]
        if any(job.stands_in for job in changed):
            self._forget(node)
            self._draft.put_node(node, NodeState())
        elif changed:
            self._draft.put_node(node, replace(state, result=None, outputs={}))
        return bool(changed)

    def _reset_job(self, job: JobState) -> bool:
        is_chosen = self._is_chosen(job)
        if is_chosen:
            self._forget_scope(job.key)
        elif job.key not in self._draft.scopes or not self.reset_scope(job.key):
            return False
        renew_job(self._draft, job.key, job.node, job.index, Cell(job.cell, job.label))
        return True

    def _forget(self, node: str) -> None:
        for key in self._draft.nodes[node].jobs:
            self._forget_scope(key)
        self._draft.remove_jobs(node)

    def _forget_scope(self, scope: str) -> None:
        for node in self._draft.nodes_in(scope):
            self._forget(node)
        self._draft.remove_scope(scope)
