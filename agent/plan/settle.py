"""Settling, which follows every event. It repeats these rules until nothing changes:

    1. a node whose needs have all ended is expanded: skipped by its `if`, or one job a matrix cell
    2. a held job goes on as long as its node's `max-parallel` allows: to its gate, its groups, the queue
    3. a gated job goes on when its environment lets it pass; one that rests is queued again when its time has come
    4. a calling job whose flow has ended has ended
    5. a node whose jobs have all ended has a result, which is what its dependants see
    6. when every node has a result the run ends

A run that has no place in its concurrency group yet, and a called flow whose caller waits for one, stay as they are.
"""

from dataclasses import replace

from agent.plan.admit import admit_held, pass_gate, retry_when_due
from agent.plan.called import close_when_done
from agent.plan.decisions import EndRun, LeaveGroup
from agent.plan.draft import Draft
from agent.plan.expand import expand_when_ready
from agent.plan.results import combine_jobs, find_refusal, worst
from agent.plan.scopes import scope_of
from agent.plan.state import JobPhase
from agent.spec.outcome import Conclusion


def settle(draft: Draft) -> None:
    """Apply the rules until nothing changes."""
    place = draft.state.place
    if draft.state.conclusion is not None or (place is not None and not place.is_held):
        return
    version = -1
    while version != draft.version:
        version = draft.version
        for node in list(draft.nodes):
            _settle_node(draft, node)
    _end_run_when_done(draft)


def _settle_node(draft: Draft, node: str) -> None:
    scope = scope_of(node)
    if scope and draft.jobs[scope].phase is not JobPhase.CALLING:
        return
    if draft.nodes[node].result is not None:
        return
    expand_when_ready(draft, node)
    if not draft.nodes[node].is_expanded:
        return
    for key in draft.nodes[node].jobs:
        pass_gate(draft, draft.jobs[key])
        retry_when_due(draft, draft.jobs[key])
        close_when_done(draft, draft.jobs[key])
    admit_held(draft, node)
    state = draft.nodes[node]
    if all(draft.jobs[key].phase is JobPhase.ENDED for key in state.jobs):
        result, outputs = combine_jobs(draft, state)
        draft.put_node(node, replace(state, result=result, outputs=outputs))


def _end_run_when_done(draft: Draft) -> None:
    results = [node.result for key, node in draft.nodes.items() if not scope_of(key)]
    if None in results:
        return
    found = worst(result for result in results if result is not None)
    if found in (Conclusion.SUCCESS, Conclusion.SKIPPED) and find_refusal(
        job.result for job in draft.jobs.values()
    ):
        found = Conclusion.FAILURE  # not all that was asked for was tried
    conclusion = Conclusion.CANCELLED if draft.state.cancel_reason is not None else found
    place = draft.state.place
    draft.change(replace(draft.state, conclusion=conclusion, place=None))
    draft.decide(EndRun(conclusion))
    if place is not None:
        draft.decide(LeaveGroup("", place.group))
