"""A draft of one call of the planner: a thawed copy of the run's state, and the decisions so far."""

from dataclasses import replace

from agent.flow.model import Flow, Job
from agent.plan.decisions import Decision
from agent.plan.scopes import scope_of, walk_nodes, written_job
from agent.plan.state import JobState, NodeState, RunState, ScopeState


class Draft:
    """What the planner's rules work on. `state` always shows what was put last."""

    def __init__(self, flow: Flow, state: RunState, now: float) -> None:
        self.flow = flow
        self.now = now
        self.nodes = dict(state.nodes)
        self.jobs = dict(state.jobs)
        self.scopes = dict(state.scopes)
        self.state = replace(state, nodes=self.nodes, jobs=self.jobs, scopes=self.scopes)
        self.decisions: list[Decision] = []
        self._children: dict[str, list[str]] = {}
        for key in state.nodes:
            self._children.setdefault(scope_of(key), []).append(key)
        self.version = 0  # grows with every change

    def put(self, job: JobState) -> JobState:
        """Note how a job stands."""
        self.jobs[job.key] = job
        self.version += 1
        return job

    def put_node(self, key: str, node: NodeState) -> None:
        """Note how a node stands."""
        if key not in self.nodes:
            self._children.setdefault(scope_of(key), []).append(key)
        self.nodes[key] = node
        self.version += 1

    def put_scope(self, key: str, scope: ScopeState) -> None:
        """Note a called flow."""
        self.scopes[key] = scope
        self.version += 1

    def change(self, state: RunState) -> None:
        """Note how the run itself stands; its nodes, jobs and scopes are this draft's."""
        self.state = replace(state, nodes=self.nodes, jobs=self.jobs, scopes=self.scopes)
        self.version += 1

    def decide(self, decision: Decision) -> None:
        """Add a decision."""
        self.decisions.append(decision)

    def written(self, node: str) -> Job:
        """The node as it is written in its flow."""
        return written_job(self.flow, self.state, node)

    def jobs_of(self, node: str) -> list[JobState]:
        """The jobs that a node expanded into."""
        return [self.jobs[key] for key in self.nodes[node].jobs]

    def nodes_in(self, scope: str) -> list[str]:
        """The nodes that stand directly in a scope."""
        return list(self._children.get(scope, ()))

    def remove_jobs(self, node: str) -> None:
        """Forget the jobs of a node: they will come anew."""
        for key in self.nodes[node].jobs:
            self.jobs.pop(key, None)
        self.version += 1

    def remove_scope(self, scope: str) -> None:
        """Forget a called flow, whose nodes have no jobs any more."""
        for key in self._children.pop(scope, ()):
            del self.nodes[key]
        self.scopes.pop(scope, None)
        self.version += 1

    def freeze(self) -> RunState:
        """The state, its nodes and jobs in the order of the flow files."""
        order = walk_nodes(self.state)
        nodes = {key: self.nodes[key] for key in order}
        jobs = {key: self.jobs[key] for node in nodes.values() for key in node.jobs}
        return replace(self.state, nodes=nodes, jobs=jobs, scopes=dict(self.scopes))
