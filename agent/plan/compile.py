"""One job of a run → `JobSpec`: decide here what GitHub decides before a job is queued, leave the rest as templates."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from agent.errors import UsageError
from agent.flow.expressions import evaluate_template, evaluate_text, to_number, to_text
from agent.flow.model import Flow, Job, Step, StepKind, Strategy
from agent.plan.needs import needs_context
from agent.plan.secret_names import used_secrets
from agent.plan.state import JobState, NodeState, RunState
from agent.spec import job as spec
from agent.spec.request import MOST_NODES, MOST_PRIORITY, read_request, read_whole

_SPEC_KINDS: dict[StepKind, spec.StepKind] = {
    kind: spec.StepKind(kind.value) for kind in StepKind if kind is not StepKind.PARALLEL
}


def job_contexts(flow: Flow, state: RunState, node: str) -> dict[str, object]:
    """The contexts of a job's `if` and `strategy`: github, inputs, vars, needs."""
    request = state.request
    return {
        "github": {**request.github, "job": node},
        "inputs": request.inputs,
        "vars": request.vars,
        "needs": needs_context(flow, state, node),
    }


def evaluate_strategy(strategy: Strategy, contexts: Mapping[str, object]) -> tuple[object, bool, int]:
    """(matrix or None, fail-fast, max-parallel or 0), evaluated."""
    matrix = evaluate_template(strategy.matrix, contexts)
    fail_fast = evaluate_template(strategy.fail_fast, contexts)
    limit = evaluate_template(strategy.max_parallel, contexts)
    return (
        matrix,
        fail_fast is not False,
        0 if limit is None else int(_number(limit, "strategy.max-parallel")),
    )


def compile_job(flow: Flow, state: RunState, node: NodeState, job: JobState) -> spec.JobSpec:
    """What `job` asks of an agent.

    Raises ExpressionError or UsageError when one of its keys can't be evaluated.
    """
    written = flow.jobs[job.node]
    settled = job_contexts(flow, state, job.node)
    strategy = {
        "fail-fast": node.fail_fast,
        "job-index": job.index,
        "job-total": len(node.jobs),
        "max-parallel": node.max_parallel or len(node.jobs),
    }
    contexts = {**settled, "strategy": strategy, "matrix": job.cell}
    labels, group = _runs_on(evaluate_template(written.runs_on, contexts), written)
    needs, github = settled["needs"], settled["github"]
    assert isinstance(needs, Mapping)
    assert isinstance(github, Mapping)
    return spec.JobSpec(
        run=state.request.run,
        job=job.id,
        key=job.key,
        name=job.key if written.name is None else evaluate_text(to_text(written.name), contexts),
        steps=tuple(lower_steps(written.steps)),
        runs_on=labels,
        group=group,
        env=tuple(env for env in (flow.env, written.env) if env is not None),
        shell=written.defaults.shell if written.defaults.shell is not None else flow.defaults.shell,
        working_directory=written.defaults.working_directory
        if written.defaults.working_directory is not None
        else flow.defaults.working_directory,
        outputs=written.outputs,
        timeout_minutes=_number(evaluate_template(written.timeout_minutes, contexts), "timeout-minutes"),
        cancel_timeout_minutes=_number(
            evaluate_template(written.cancel_timeout_minutes, contexts), "cancel-timeout-minutes"
        ),
        continue_on_error=evaluate_template(written.continue_on_error, contexts) is True,
        container=written.container,
        services=written.services,
        secrets=used_secrets(flow, written, state.request.secrets),
        contexts=spec.Contexts(
            github=github,
            inputs=state.request.inputs,
            needs=needs,
            strategy=strategy,
            matrix=job.cell,
            vars=state.request.vars,
        ),
        source=state.request.source,
        pins=state.request.pins,
        resources=read_request(evaluate_template(written.resources, contexts)),
        priority=_whole(written.priority, contexts, "priority", least=-MOST_PRIORITY, most=MOST_PRIORITY),
        nodes=_whole(written.nodes, contexts, "nodes", least=1, most=MOST_NODES),
    )


def lower_steps(steps: tuple[Step, ...]) -> Iterator[spec.StepSpec]:
    """The steps with each `parallel` group as background steps and a wait for them."""
    for step in steps:
        if step.kind is not StepKind.PARALLEL:
            yield _step_spec(step)
            continue
        for child in step.children:
            yield _step_spec(replace(child, background=True))
        yield spec.StepSpec(
            kind=spec.StepKind.WAIT,
            id=step.id,
            name=step.name,
            condition="always()",
            continue_on_error=step.continue_on_error,
            targets=tuple(child.id for child in step.children),
            place=str(step.position),
        )


def _step_spec(step: Step) -> spec.StepSpec:
    return spec.StepSpec(
        kind=_SPEC_KINDS[step.kind],
        id=step.id,
        name=step.name,
        condition=step.condition,
        run=step.run,
        shell=step.shell,
        working_directory=step.working_directory,
        uses=step.uses,
        with_=step.with_,
        env=step.env,
        continue_on_error=step.continue_on_error,
        timeout_minutes=step.timeout_minutes,
        background=step.background,
        targets=step.targets,
        place=str(step.position),
    )


def _runs_on(value: object, job: Job) -> tuple[tuple[str, ...], str]:
    """(labels, group) of an evaluated `runs-on`."""
    group = ""
    if isinstance(value, Mapping):
        group = to_text(value.get("group"))
        value = value.get("labels", [])
    labels = [value] if isinstance(value, str) else value
    if not isinstance(labels, (list, tuple)) or not all(isinstance(label, str) and label for label in labels):
        raise UsageError("'runs-on' gives neither a label nor a list of labels", where=str(job.position))
    return tuple(labels), group


def _whole(written: object, contexts: Mapping[str, object], key: str, *, least: int, most: int) -> int:
    return read_whole(evaluate_template(written, contexts), key, least=least, most=most)


def _number(value: object, key: str) -> float:
    number = to_number(value)
    if not 0 <= number < float("inf"):
        raise UsageError(f"'{key}' is not a number of at least 0: {to_text(value)!r}", where=key)
    return number
