"""The contexts that the planner evaluates in, and the job's keys that it evaluates before the job is queued."""

from collections.abc import Mapping

from agent.errors import UsageError
from agent.flow.expressions import evaluate_template, evaluate_text, is_truthy, to_number, to_text
from agent.flow.model import Concurrency, Flow, Strategy
from agent.flow.retry import Retry, read_retry
from agent.plan.needs import needs_context
from agent.plan.scopes import calling_jobs, name_of, scope_of, written_job
from agent.plan.state import GroupPlace, JobState, RunState

MAX_GROUP_LENGTH = 400
_MOST_PARALLEL = 1_000_000


def inputs_of(state: RunState, scope: str) -> Mapping[str, object]:
    """The `inputs` of a scope's flow."""
    return state.scopes[scope].inputs if scope else state.request.inputs


Contexts = dict[str, Mapping[str, object]]


def flow_contexts(state: RunState, scope: str) -> Contexts:
    """The contexts of a flow's own keys: inputs, vars, and those that its language brings."""
    request = state.request
    return {**request.contexts, "inputs": inputs_of(state, scope), "vars": request.vars}


def node_contexts(flow: Flow, state: RunState, node: str) -> Contexts:
    """The contexts of a job's `if` and `strategy`: those of its flow, and needs."""
    contexts = flow.dialect.job_contexts(flow_contexts(state, scope_of(node)), name_of(node))
    return {**contexts, "needs": needs_context(flow, state, node)}


def job_contexts(flow: Flow, state: RunState, job: JobState) -> Contexts:
    """The contexts of the job's other keys: those of its node, and strategy and matrix."""
    node = state.nodes[job.node]
    strategy: dict[str, object] = {
        "fail-fast": node.fail_fast,
        "job-index": job.index,
        "job-total": len(node.jobs),
        "max-parallel": node.max_parallel or len(node.jobs),
    }
    return {**node_contexts(flow, state, job.node), "strategy": strategy, "matrix": job.cell}


def evaluate_strategy(strategy: Strategy, contexts: Mapping[str, object]) -> tuple[object, bool, int]:
    """(matrix or None, fail-fast, max-parallel or 0), evaluated."""
    matrix = evaluate_template(strategy.matrix, contexts)
    fail_fast = evaluate_template(strategy.fail_fast, contexts)
    limit = evaluate_template(strategy.max_parallel, contexts)
    return (
        matrix,
        fail_fast is not False,
        0 if limit is None else int(read_amount(limit, "strategy.max-parallel", _MOST_PARALLEL)),
    )


def evaluate_place(concurrency: Concurrency, contexts: Mapping[str, object], where: str) -> GroupPlace:
    """The concurrency group to enter. Raises ExpressionError, and UsageError for a name that can't be one."""
    group = to_text(evaluate_template(concurrency.group, contexts)).strip()
    if not group:
        raise UsageError("Concurrency group name cannot be empty", where=where)
    if len(group) > MAX_GROUP_LENGTH:
        raise UsageError(
            f"Concurrency group name must be less than {MAX_GROUP_LENGTH} characters", where=where
        )
    cancels = is_truthy(evaluate_template(concurrency.cancel_in_progress, contexts))
    return GroupPlace(group, cancels, concurrency.queue)


def evaluate_environment(flow: Flow, state: RunState, job: JobState) -> str:
    """The name of the job's environment; "" for none."""
    written = written_job(flow, state, job.node).environment
    if isinstance(written, Mapping):
        written = written.get("name")
    return (
        "" if written is None else to_text(evaluate_template(written, job_contexts(flow, state, job))).strip()
    )


def evaluate_retry(flow: Flow, state: RunState, job: JobState) -> Retry:
    """When the job is tried again."""
    written = written_job(flow, state, job.node)
    if written.retry is None:
        return Retry()
    return read_retry(
        evaluate_template(written.retry, job_contexts(flow, state, job)), f"{written.position}: retry"
    )


def show_name(flow: Flow, state: RunState, job: JobState) -> str:
    """The job's name to show, with those of the jobs that call it before it: `caller / callee`.

    Raises ExpressionError when one can't be evaluated.
    """
    chain = [job, *calling_jobs(state, scope_of(job.node))]
    return " / ".join(_own_name(flow, state, link) for link in reversed(chain))


def _own_name(flow: Flow, state: RunState, job: JobState) -> str:
    written = written_job(flow, state, job.node)
    if written.name is None:
        scope = scope_of(job.node)
        return job.key.removeprefix(f"{scope} / ") if scope else job.key
    return evaluate_text(to_text(written.name), job_contexts(flow, state, job))


def read_amount(value: object, key: str, most: int) -> float:
    """A number from 0 to `most`. Raises UsageError naming `key`."""
    number = to_number(value)
    if not 0 <= number <= most:
        raise UsageError(f"'{key}' is not a number from 0 to {most}: {to_text(value)[:80]!r}", where=key)
    return number
