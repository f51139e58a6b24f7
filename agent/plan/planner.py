"""The run's state machine: `begin` and `advance`, and the settling that follows every event.

Settling repeats four rules until nothing changes:

    1. a node whose needs have all ended is expanded: skipped by its `if`, or one job a matrix cell
    2. a held job is queued as long as its node's `max-parallel` allows
    3. a node whose jobs have all ended has a result, which is what its dependants see
    4. when every node has a result the run ends
"""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256

from agent.errors import AgentError, UsageError
from agent.flow.expressions import evaluate, is_truthy
from agent.flow.model import Flow
from agent.ids import JobId, make_id
from agent.plan.compile import compile_job, evaluate_strategy, job_contexts
from agent.plan.decisions import CancelJob, Decision, EndJob, EndRun, QueueJob
from agent.plan.events import Event, JobFinished, JobStarted, RunCancelled
from agent.plan.matrix import Cell, expand_matrix
from agent.plan.needs import ancestors, are_needs_met, status_functions
from agent.plan.state import JobPhase, JobState, NodeState, RunRequest, RunState
from agent.plan.transitions import Move, next_phase
from agent.spec.outcome import Conclusion, FailureKind, JobResult

Step = tuple[RunState, tuple[Decision, ...]]


def begin(flow: Flow, request: RunRequest) -> Step:
    """The first state of a run, and what to do first.

    Raises UsageError when `request.only_jobs` names a job that the flow does not have, or the flow uses what this
    planner can't do yet.
    """
    chosen = _chosen_jobs(flow, request.only_jobs)
    for name in chosen:
        if flow.jobs[name].call is not None:
            raise UsageError(
                "this version can't call another workflow yet", where=str(flow.jobs[name].position)
            )
    planning = _Planning(flow, RunState(request, {name: NodeState() for name in chosen}))
    planning.settle()
    return planning.freeze()


def advance(flow: Flow, state: RunState, event: Event) -> Step:
    """The state after `event`, and what to do about it. Repeated, late and unknown events change nothing."""
    planning = _Planning(flow, state)
    match event:
        case JobStarted(job):
            planning.start_job(job)
        case JobFinished(job, result):
            planning.finish_job(job, result)
        case RunCancelled(reason):
            planning.cancel_run(reason)
    planning.settle()
    return planning.freeze()


def _chosen_jobs(flow: Flow, only: tuple[str, ...]) -> list[str]:
    """The flow's jobs in its order: all, or the named ones with all that they need."""
    for name in only:
        if name not in flow.jobs:
            raise UsageError(
                f"the flow has no job '{name}'", where=flow.file, hint=f"it has {', '.join(flow.jobs)}"
            )
    if not only:
        return list(flow.jobs)
    wanted = set(only).union(*(ancestors(flow, name) for name in only))
    return [name for name in flow.jobs if name in wanted]


class _Planning:
    """One call of the planner: a thawed copy of the state, and the decisions so far."""

    def __init__(self, flow: Flow, state: RunState) -> None:
        self.flow = flow
        self.nodes = dict(state.nodes)
        self.jobs = dict(state.jobs)
        self.state = replace(state, nodes=self.nodes, jobs=self.jobs)  # sees what is put into the two
        self.decisions: list[Decision] = []

    def freeze(self) -> Step:
        order = {name: place for place, name in enumerate(self.nodes)}
        jobs = dict(sorted(self.jobs.items(), key=lambda item: (order[item[1].node], item[1].index)))
        return replace(self.state, nodes=dict(self.nodes), jobs=jobs), tuple(self.decisions)

    # Events

    def start_job(self, job: JobId) -> None:
        state = self.state.job_by_id(job)
        if state is not None and state.phase is not JobPhase.HELD:
            self._put(replace(state, phase=next_phase(state.phase, Move.START)))

    def finish_job(self, job: JobId, result: JobResult) -> None:
        state = self.state.job_by_id(job)
        if state is None or state.phase is JobPhase.ENDED:
            return
        self._end(state, result)
        node = self.nodes[state.node]
        failed = result.conclusion is Conclusion.FAILURE and not state.continue_on_error
        if failed and node.fail_fast:
            for key in node.jobs:
                self._cancel_job(self.jobs[key], f"{state.key} failed and fail-fast is on")

    def cancel_run(self, reason: str) -> None:
        if self.state.cancel_reason is not None or self.state.conclusion is not None:
            return
        self.state = replace(self.state, cancel_reason=reason)
        for job in list(self.jobs.values()):
            if not self._is_wanted(job.node):
                self._cancel_job(job, reason)

    # Settling

    def settle(self) -> None:
        is_settled = False
        while not is_settled:
            is_settled = True
            for name in self.nodes:
                if self._settle_node(name):
                    is_settled = False
        results = [node.result for node in self.nodes.values()]
        if self.state.conclusion is None and None not in results:
            conclusion = self._run_conclusion()
            self.state = replace(self.state, conclusion=conclusion)
            self.decisions.append(EndRun(conclusion))

    def _settle_node(self, name: str) -> bool:
        changed = self._expand_when_ready(name)
        node = self.nodes[name]
        if not node.is_expanded or node.result is not None:
            return changed
        self._queue_held(node)
        if all(self.jobs[key].phase is JobPhase.ENDED for key in node.jobs):
            result, outputs = self._node_result(node)
            self._put_node(name, replace(node, result=result, outputs=outputs))
            return True
        return changed

    def _expand_when_ready(self, name: str) -> bool:
        node = self.nodes[name]
        if node.is_expanded or not are_needs_met(self.flow, self.state, name):
            return False
        try:
            if self._is_wanted(name, default_when_broken=False):
                self._expand(name)
            elif self.state.cancel_reason is not None:
                self._end_unexpanded(name, _cancelled(self.state.cancel_reason))
            else:
                self._end_unexpanded(name, JobResult(Conclusion.SKIPPED))
        except AgentError as error:
            self._end_unexpanded(name, _impossible(error))
        return True

    def _expand(self, name: str) -> None:
        contexts = job_contexts(self.flow, self.state, name)
        matrix, fail_fast, limit = evaluate_strategy(self.flow.jobs[name].strategy, contexts)
        cells = [Cell({}, "")] if matrix is None else self._selected(expand_matrix(matrix))
        jobs = [self._new_job(name, index, cell) for index, cell in enumerate(cells)]
        node = NodeState(
            tuple(job.key for job in jobs), is_expanded=True, fail_fast=fail_fast, max_parallel=limit
        )
        self._put_node(name, node)
        for job in jobs:
            self._put(job)

    def _selected(self, cells: list[Cell]) -> list[Cell]:
        wanted = self.state.request.only_cells
        return [
            cell for cell in cells if all(str(cell.values.get(key)) == value for key, value in wanted.items())
        ]

    def _new_job(self, node: str, index: int, cell: Cell) -> JobState:
        key = f"{node} ({cell.label})" if cell.label else node
        if key in self.jobs or (index > 0 and not cell.label):
            key = f"{key} #{index + 1}"
        digest = sha256(self.state.request.seed + f"/{self.state.request.attempt}/{key}".encode()).digest()
        return JobState(JobId(make_id("job", digest)), key, node, index, cell=cell.values, label=cell.label)

    def _queue_held(self, node: NodeState) -> None:
        jobs = [self.jobs[key] for key in node.jobs]
        busy = sum(job.phase in (JobPhase.QUEUED, JobPhase.RUNNING) for job in jobs)
        for job in jobs:
            if job.phase is not JobPhase.HELD:
                continue
            if node.max_parallel and busy >= node.max_parallel:
                return
            busy += self._queue(node, job)

    def _queue(self, node: NodeState, job: JobState) -> bool:
        try:
            spec = compile_job(self.flow, self.state, node, job)
        except AgentError as error:
            self._end(job, _impossible(error), announce=True)
            return False
        phase = next_phase(job.phase, Move.QUEUE)
        self._put(replace(job, phase=phase, continue_on_error=spec.continue_on_error))
        self.decisions.append(QueueJob(spec))
        return True

    def _is_wanted(self, name: str, *, default_when_broken: bool = True) -> bool:
        """Whether the job's `if` holds now. A running job whose condition can't be evaluated is left alone."""
        functions = status_functions(self.flow, self.state, name)
        contexts = job_contexts(self.flow, self.state, name)
        try:
            return is_truthy(evaluate(self.flow.jobs[name].condition, contexts, functions))
        except AgentError:
            if default_when_broken:
                return True
            raise

    # Ends

    def _cancel_job(self, job: JobState, reason: str) -> None:
        if job.phase is JobPhase.HELD:
            self._end(job, _cancelled(reason), announce=True)
        elif job.phase is not JobPhase.ENDED and not job.cancel_requested:
            self._put(replace(job, cancel_requested=True))
            self.decisions.append(CancelJob(job.id, reason))

    def _end_unexpanded(self, name: str, result: JobResult) -> None:
        job = self._new_job(name, 0, Cell({}, ""))
        self._put_node(name, replace(self.nodes[name], jobs=(job.key,), is_expanded=True))
        self._end(job, result, announce=True)

    def _end(self, job: JobState, result: JobResult, *, announce: bool = False) -> None:
        self._put(replace(job, phase=next_phase(job.phase, Move.END), result=result))
        if announce:
            self.decisions.append(EndJob(job.id, job.key, result))

    def _node_result(self, node: NodeState) -> tuple[Conclusion, dict[str, str]]:
        """What dependants see: the worst of the jobs, and their outputs with later cells winning."""
        outputs: dict[str, str] = {}
        results: set[Conclusion] = set()
        for key in node.jobs:
            job = self.jobs[key]
            assert job.result is not None
            outputs.update({name: value for name, value in job.result.outputs.items() if value})
            tolerated = job.continue_on_error and job.result.conclusion is Conclusion.FAILURE
            results.add(Conclusion.SUCCESS if tolerated else job.result.conclusion)
        return _worst(results), outputs

    def _run_conclusion(self) -> Conclusion:
        results = {node.result for node in self.nodes.values() if node.result is not None}
        return Conclusion.CANCELLED if self.state.cancel_reason is not None else _worst(results)

    def _put(self, job: JobState) -> None:
        self.jobs[job.key] = job

    def _put_node(self, name: str, node: NodeState) -> None:
        self.nodes[name] = node


def _worst(results: set[Conclusion]) -> Conclusion:
    order = (Conclusion.FAILURE, Conclusion.CANCELLED, Conclusion.SUCCESS)
    return next((conclusion for conclusion in order if conclusion in results), Conclusion.SKIPPED)


def _cancelled(reason: str) -> JobResult:
    return JobResult(Conclusion.CANCELLED, failure_kind=FailureKind.CANCELLED, message=reason)


def _impossible(error: AgentError) -> JobResult:
    return JobResult(Conclusion.FAILURE, failure_kind=FailureKind.USER, message=str(error))


def waits_for(flow: Flow, state: RunState) -> Mapping[str, tuple[str, ...]]:
    """For each node that is not expanded yet, the needs that have not ended: why it waits."""
    return {
        name: tuple(need for need in flow.jobs[name].needs if state.nodes[need].result is None)
        for name, node in state.nodes.items()
        if not node.is_expanded
    }
