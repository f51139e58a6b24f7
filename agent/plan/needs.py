"""The `needs` context and the status functions of a job's `if`: what it sees of the jobs before it.

GitHub's rules (github-facts.md, section 2): `success()` and `failure()` look at *all* ancestors, not only at the
direct needs, so a job behind a skipped one is skipped too unless its condition says otherwise. A called flow's jobs see
the jobs of that flow only.
"""

from collections.abc import Callable, Mapping

from agent.flow.model import Flow
from agent.plan.scopes import calling_jobs, flow_of, join_key, name_of, scope_of, written_job
from agent.plan.state import NodeState, RunState
from agent.spec.outcome import Conclusion


def ancestors(flow: Flow, name: str) -> tuple[str, ...]:
    """Every job of `flow` that the job `name` waits for, directly or through others, each once."""
    found: dict[str, None] = {}
    open_names = list(flow.jobs[name].needs)
    while open_names:
        need = open_names.pop()
        if need not in found:
            found[need] = None
            open_names.extend(flow.jobs[need].needs)
    return tuple(found)


def needs_of(flow: Flow, state: RunState, node: str) -> dict[str, NodeState]:
    """The nodes that `node` needs directly, by the names that its flow knows them by."""
    scope = scope_of(node)
    names = written_job(flow, state, node).needs
    return {name: state.nodes[join_key(scope, name)] for name in names}


def needs_context(flow: Flow, state: RunState, node: str) -> dict[str, object]:
    """`needs.<job>.result` and `.outputs` of the direct needs."""
    return {name: show_node(need) for name, need in needs_of(flow, state, node).items()}


def show_node(node: NodeState) -> dict[str, object]:
    """A node as the contexts `needs` and `jobs` hold it."""
    result = node.result or Conclusion.SKIPPED
    return {"result": result.value, "outputs": dict(node.outputs)}


def are_needs_met(flow: Flow, state: RunState, node: str) -> bool:
    """Whether every direct need has ended, in whatever way."""
    return all(need.result is not None for need in needs_of(flow, state, node).values())


def is_cancelled(state: RunState, scope: str) -> bool:
    """Whether the run, or a call on the way to `scope`, is being cancelled."""
    return state.cancel_reason is not None or any(job.cancel_requested for job in calling_jobs(state, scope))


def status_functions(flow: Flow, state: RunState, node: str) -> dict[str, Callable[..., object]]:
    """`success`, `failure`, `cancelled` and `always` as the job's `if` sees them."""
    scope = scope_of(node)
    names = ancestors(flow_of(flow, state, scope), name_of(node))
    before = {name: state.nodes[join_key(scope, name)].result for name in names}
    has_been_cancelled = is_cancelled(state, scope)

    def success(*names: object) -> bool:
        return not has_been_cancelled and all(
            result is Conclusion.SUCCESS for result in _named(before, names)
        )

    def failure(*names: object) -> bool:
        return not has_been_cancelled and any(
            result is Conclusion.FAILURE for result in _named(before, names)
        )

    return {
        "success": success,
        "failure": failure,
        "cancelled": lambda: has_been_cancelled,
        "always": lambda: True,
    }


def _named(before: Mapping[str, Conclusion | None], names: tuple[object, ...]) -> list[Conclusion | None]:
    if not names:
        return list(before.values())
    wanted = {str(name).lower() for name in names}
    return [result for name, result in before.items() if name.lower() in wanted]
