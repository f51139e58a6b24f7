"""Scopes: where a node or job stands among flows that call flows.

The run's own flow is the scope "". A called flow is the scope named by the key of the job that calls it; the keys of its
nodes begin with that: `deploy / push` is the job `push` of the flow that `deploy` calls.
"""

from collections.abc import Iterator

from agent.flow.model import Flow, Job
from agent.plan.state import JobState, RunState

_JOINT = " / "


def join_key(scope: str, name: str) -> str:
    """The key of the node `name` (an identifier) in `scope`."""
    return f"{scope}{_JOINT}{name}" if scope else name


def scope_of(node: str) -> str:
    """The scope that a node stands in."""
    return node.rpartition(_JOINT)[0]


def name_of(node: str) -> str:
    """The node's identifier in its flow."""
    return node.rpartition(_JOINT)[2]


def flow_of(flow: Flow, state: RunState, scope: str) -> Flow:
    """The flow of a scope; `flow` is the run's."""
    if not scope:
        return flow
    caller = state.jobs[scope].node
    calling = flow_of(flow, state, scope_of(caller))
    call = calling.jobs[name_of(caller)].call
    assert call is not None
    return calling.called[call.uses]


def written_job(flow: Flow, state: RunState, node: str) -> Job:
    """The job of a flow file that a node is."""
    return flow_of(flow, state, scope_of(node)).jobs[name_of(node)]


def calling_jobs(state: RunState, scope: str) -> Iterator[JobState]:
    """The jobs whose calls lead to a scope, the innermost first."""
    while scope:
        job = state.jobs[scope]
        yield job
        scope = scope_of(job.node)


def walk_nodes(state: RunState) -> list[str]:
    """All nodes in the order of the flow files; those of a called flow follow the node that calls it."""
    children: dict[str, list[str]] = {}
    for key in state.nodes:
        children.setdefault(scope_of(key), []).append(key)
    ordered: list[str] = []
    open_nodes = children.get("", [])[::-1]
    while open_nodes:
        key = open_nodes.pop()
        ordered.append(key)
        inner = [child for job in state.nodes[key].jobs for child in children.get(job, ())]
        open_nodes.extend(inner[::-1])
    return ordered
