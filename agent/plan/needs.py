"""What a job sees of the jobs before it: the `needs` context and the status functions of its `if`.

GitHub's rules (github-facts.md, section 2): `success()` and `failure()` look at *all* ancestors, not only at the
direct needs, so a job behind a skipped one is skipped too unless its condition says otherwise.
"""

from collections.abc import Callable, Mapping

from agent.flow.model import Flow
from agent.plan.state import NodeState, RunState
from agent.spec.outcome import Conclusion


def ancestors(flow: Flow, node: str) -> tuple[str, ...]:
    """Every job that `node` waits for, directly or through others, each once."""
    found: dict[str, None] = {}
    open_names = list(flow.jobs[node].needs)
    while open_names:
        name = open_names.pop()
        if name not in found:
            found[name] = None
            open_names.extend(flow.jobs[name].needs)
    return tuple(found)


def needs_context(flow: Flow, state: RunState, node: str) -> dict[str, object]:
    """`needs.<job>.result` and `.outputs` of the direct needs."""
    return {name: _need(state.nodes[name]) for name in flow.jobs[node].needs}


def are_needs_met(flow: Flow, state: RunState, node: str) -> bool:
    """Whether every direct need has ended, in whatever way."""
    return all(state.nodes[name].result is not None for name in flow.jobs[node].needs)


def status_functions(flow: Flow, state: RunState, node: str) -> dict[str, Callable[..., object]]:
    """`success`, `failure`, `cancelled` and `always` as the job's `if` sees them."""
    before = {name: state.nodes[name].result for name in ancestors(flow, node)}
    is_cancelled = state.cancel_reason is not None

    def success(*names: object) -> bool:
        return not is_cancelled and all(result is Conclusion.SUCCESS for result in _named(before, names))

    def failure(*names: object) -> bool:
        return not is_cancelled and any(result is Conclusion.FAILURE for result in _named(before, names))

    return {
        "success": success,
        "failure": failure,
        "cancelled": lambda: is_cancelled,
        "always": lambda: True,
    }


def _need(node: NodeState) -> dict[str, object]:
    result = node.result or Conclusion.SKIPPED
    return {"result": result.value, "outputs": dict(node.outputs)}


def _named(before: Mapping[str, Conclusion | None], names: tuple[object, ...]) -> list[Conclusion | None]:
    if not names:
        return list(before.values())
    wanted = {str(name).lower() for name in names}
    return [result for name, result in before.items() if name.lower() in wanted]
