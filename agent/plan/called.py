"""Calls: a job that is another flow. It opens a scope with that flow's nodes, and ends when all of them have."""

from collections.abc import Mapping
from dataclasses import replace

from agent.errors import AgentError, UsageError
from agent.flow.expressions import evaluate_template, has_expression, to_text
from agent.flow.inputs import Value, resolve_inputs
from agent.flow.model import Flow, FlowCall, Trigger, TriggerKind
from agent.plan.contexts import evaluate_place, flow_contexts, job_contexts
from agent.plan.draft import Draft
from agent.plan.ends import end_job
from agent.plan.expand import MAX_JOBS
from agent.plan.needs import show_node
from agent.plan.results import find_refusal, impossible, worst
from agent.plan.scopes import flow_of, join_key, name_of, scope_of
from agent.plan.state import GroupPlace, JobPhase, JobState, NodeState, ScopeState
from agent.spec.outcome import Conclusion, JobResult


def open_scope(draft: Draft, job: JobState) -> None:
    """Put the called flow's nodes into the run; after a re-run some of them may be there already.

    Raises ExpressionError or UsageError for inputs that can't be evaluated.
    """
    if job.key in draft.scopes:
        return
    called = _called_flow(draft, job)
    if len(draft.nodes) + len(called.jobs) > MAX_JOBS:
        raise UsageError(f"the run has more than {MAX_JOBS} jobs", where=job.key)
    inputs = _evaluate_inputs(draft, job, called)
    draft.put_scope(job.key, ScopeState(inputs))
    for name in called.jobs:
        draft.put_node(join_key(job.key, name), NodeState())


def places_of_call(draft: Draft, job: JobState) -> list[GroupPlace]:
    """The concurrency group of the called flow itself."""
    called = _called_flow(draft, job)
    if called.concurrency is None:
        return []
    contexts = flow_contexts(draft.state, scope_of(job.node))
    contexts["inputs"] = _evaluate_inputs(draft, job, called)
    return [evaluate_place(called.concurrency, contexts, f"{called.file}: concurrency")]


def close_when_done(draft: Draft, job: JobState) -> None:
    """End a calling job when every node of its scope has a result."""
    if job.phase is not JobPhase.CALLING:
        return
    nodes = {key: draft.nodes[key] for key in draft.nodes_in(job.key)}
    results = [node.result for node in nodes.values() if node.result is not None]
    if len(results) < len(nodes):
        return
    try:
        outputs = _evaluate_outputs(draft, job, nodes)
        refusal = find_refusal(draft.jobs[key].result for node in nodes.values() for key in node.jobs)
        found = worst(results)
        is_cut = found in (Conclusion.SUCCESS, Conclusion.SKIPPED)
        result = replace(refusal, outputs=outputs) if is_cut and refusal else JobResult(found, outputs)
    except AgentError as error:
        result = impossible(error, draft.written(job.node))
    end_job(draft, job, result)


def _called_flow(draft: Draft, job: JobState) -> Flow:
    """Raises UsageError when the flow was never joined: whoever started the run did not load it."""
    calling = flow_of(draft.flow, draft.state, scope_of(job.node))
    call = _call(draft, job)
    called = calling.called.get(call.uses)
    if called is None:
        position = draft.written(job.node).position
        raise UsageError(f"the flow '{call.uses}' was not sent with the run", where=str(position))
    return called


def _call(draft: Draft, job: JobState) -> FlowCall:
    call = draft.written(job.node).call
    assert call is not None
    return call


def _evaluate_inputs(draft: Draft, job: JobState, called: Flow) -> Mapping[str, object]:
    """The called flow's `inputs`: what `with` says, typed as declared, and defaults."""
    contexts = job_contexts(draft.flow, draft.state, job)
    evaluated = evaluate_template(_call(draft, job).with_, contexts)
    assert isinstance(evaluated, Mapping)
    given = {str(name): _plain(value) for name, value in evaluated.items() if value is not None}
    trigger = called.trigger_of(TriggerKind.CALL)
    if trigger is None:
        trigger = Trigger("", draft.written(job.node).position, TriggerKind.CALL)
    values, problems = resolve_inputs(trigger, given)
    if problems:
        raise UsageError(problems[0].message, where=str(draft.written(job.node).position))
    own = {**flow_contexts(draft.state, scope_of(job.node)), "inputs": {}}
    defaults = {item.name for item in trigger.inputs} - {
        item.name for item in trigger.inputs if item.name.lower() in {name.lower() for name in given}
    }
    return {
        name: evaluate_template(value, own)
        if name in defaults and isinstance(value, str) and has_expression(value)
        else value
        for name, value in values.items()
    }


def _plain(value: object) -> Value:
    return value if isinstance(value, str | bool | int | float) else to_text(value)


def _evaluate_outputs(draft: Draft, job: JobState, nodes: Mapping[str, NodeState]) -> dict[str, str]:
    """The outputs that the called flow declares for its callers, as text; what is empty is no output."""
    called = _called_flow(draft, job)
    trigger = called.trigger_of(TriggerKind.CALL)
    if trigger is None:
        return {}
    contexts = flow_contexts(draft.state, job.key)
    contexts["jobs"] = {name_of(key): show_node(node) for key, node in nodes.items()}
    values = {name: to_text(evaluate_template(value, contexts)) for name, value in trigger.outputs.items()}
    return {name: value for name, value in values.items() if value}
