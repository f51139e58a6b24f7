"""Compilation of a run's job to a `JobSpec`: decide here what GitHub decides before a job is queued, leave the rest as templates."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.errors import UsageError
from agent.flow.expressions import evaluate_template, to_text
from agent.flow.model import MOST_MINUTES, Flow, Job, Step, StepKind
from agent.flow.references import refer
from agent.flow.stages import FlowStage, order_stages
from agent.plan.checkpoints import add_checkpoint_steps, compile_checkpoints, resume_context
from agent.plan.contexts import evaluate_environment, job_contexts, read_amount, show_name
from agent.plan.data import add_data_steps, evaluate_brings, evaluate_keeps
from agent.plan.scopes import calling_jobs, flow_of, scope_of, written_job
from agent.plan.secret_names import list_secrets, list_unset
from agent.plan.state import JobState, RunState
from agent.spec import job as spec
from agent.spec.checkpoints import Checkpoints
from agent.spec.conventions import JOB_TOKEN
from agent.spec.request import MOST_NODES, MOST_PRIORITY, read_request, read_whole
from agent.spec.stages import StageSpec, StagesWork

if TYPE_CHECKING:
    from agent.flow.data import App
    from agent.spec.data import Bring, Keep

_SPEC_KINDS: dict[StepKind, spec.SpecStepKind] = {
    kind: spec.SpecStepKind(kind.value) for kind in StepKind if kind is not StepKind.PARALLEL
}
_LEVELS = ("none", "read", "write")  # of a permission
_PROVING = "id-token"


def compile_job(flow: Flow, state: RunState, job: JobState) -> spec.JobSpec:
    """What `job` asks of an agent. `flow` is the run's.

    Raises ExpressionError or UsageError when one of its keys can't be evaluated.
    """
    scope = scope_of(job.node)
    own, written = flow_of(flow, state, scope), written_job(flow, state, job.node)
    contexts = job_contexts(flow, state, job)
    checkpoints, resume = compile_checkpoints(written, contexts), resume_context(written, job)
    labels, group = _runs_on(evaluate_template(written.runs_on, contexts), written)
    secrets, callers = list_secrets(flow, state, job)
    shell, folder = written.defaults.shell, written.defaults.working_directory
    brings, keeps = evaluate_brings(written, contexts, scope), evaluate_keeps(written, contexts)
    return spec.JobSpec(
        run=state.request.run,
        job=job.id,
        key=job.key,
        name=show_name(flow, state, job),
        work=_lower_work(own, written, scope, brings, keeps, checkpoints),
        runs_on=tuple(dict.fromkeys((*labels, *state.request.labels))),
        group=group,
        env=tuple(
            env for env in (_env_of_secrets(written, secrets), own.env, written.env) if env is not None
        ),
        shell=own.defaults.shell if shell is None else shell,
        working_directory=own.defaults.working_directory if folder is None else folder,
        outputs=written.outputs,
        timeout_minutes=read_amount(
            evaluate_template(written.timeout_minutes, contexts), "timeout-minutes", MOST_MINUTES
        ),
        cancel_timeout_minutes=read_amount(
            evaluate_template(written.cancel_timeout_minutes, contexts),
            "cancel-timeout-minutes",
            MOST_MINUTES,
        ),
        continue_on_error=evaluate_template(written.continue_on_error, contexts) is True,
        container=written.container,
        services=written.services,
        secrets=secrets,
        unset_secrets=list_unset(flow, state, job),
        callers=tuple(_caller(flow, state, caller) for caller in callers),
        environment=evaluate_environment(flow, state, job),
        environment_url=_environment_url(written),
        permissions=_permissions(flow, state, job),
        attempt=job.attempt,
        contexts={
            **(flow.dialect.called_contexts(contexts, own.file) if scope else contexts),
            **resume,
        },
        source=state.request.source,
        event_apart=state.request.event_apart,
        pins=state.request.pins,
        hold_minutes=state.request.hold_minutes,
        resources=read_request(evaluate_template(written.resources, contexts)),
        priority=_whole(written.priority, contexts, "priority", least=-MOST_PRIORITY, most=MOST_PRIORITY),
        conventions=own.dialect.conventions,
        brings=brings,
        keeps=keeps,
        apps=tuple(_app(app, contexts) for app in written.apps),
        nodes=_whole(written.nodes, contexts, "nodes", least=1, most=MOST_NODES),
        is_interruptible=evaluate_template(written.interruptible, contexts) is True,
        checkpoints=checkpoints,
    )


def _lower_work(
    own: Flow,
    job: Job,
    scope: str,
    brings: "tuple[Bring, ...]",
    keeps: "tuple[Keep, ...]",
    checkpoints: Checkpoints | None,
) -> spec.Work:
    """What a job of the flow `own` does, as an agent is told it."""
    if job.stages:
        return StagesWork(lower_stages(job.stages), own.title)
    steps = tuple(_move_steps(lower_steps(job.steps), own.file if scope else ""))
    return spec.StepsWork(add_data_steps(add_checkpoint_steps(steps, checkpoints), brings, keeps))


def lower_stages(stages: tuple[FlowStage, ...]) -> tuple[StageSpec, ...]:
    """The stages, each after those that it gets its records from."""
    return tuple(
        StageSpec(
            name=stage.name,
            action=stage.action,
            config=stage.config,
            out=stage.out,
            uses=stage.uses,
            place=str(stage.position),
        )
        for stage in order_stages(stages)
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
            kind=spec.SpecStepKind.WAIT,
            id=step.id,
            name=step.name,
            condition="always()",
            continue_on_error=step.continue_on_error,
            targets=tuple(child.id for child in step.children),
            place=str(step.position),
        )


def _move_steps(steps: Iterator[spec.StepSpec], file: str) -> Iterator[spec.StepSpec]:
    """The steps of a flow of another repository, whose `$/path` is a folder of that repository."""
    for step in steps:
        if step.uses is not None and step.uses.startswith("$/"):
            moved = refer(step.uses, file)
            yield replace(step, uses=step.uses if moved.startswith("./") else moved)
        else:
            yield step


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
        is_cached=step.is_cached,
        place=str(step.position),
    )


def _env_of_secrets(job: Job, secrets: tuple[str, ...]) -> Mapping[str, str] | None:
    """A variable for each secret, where the job sees all of them; its own token is none."""
    if not job.sees_all_secrets:
        return None
    return {name: f"${{{{ secrets.{name} }}}}" for name in secrets if name != JOB_TOKEN}


def _app(app: "App", contexts: Mapping[str, object]) -> spec.AppSpec:
    port = _whole(app.port, contexts, "port", least=0, most=65_535)
    opens = to_text(evaluate_template(app.opens, contexts))
    return spec.AppSpec(app.name, port, f"/{opens.lstrip('/')}")


def _caller(flow: Flow, state: RunState, job: JobState) -> spec.CallerSecrets:
    """A call's `secrets:` with the contexts that they are evaluated in."""
    call = written_job(flow, state, job.node).call
    assert call is not None
    return spec.CallerSecrets(call.secrets, job_contexts(flow, state, job))


def _environment_url(job: Job) -> object:
    return job.environment.get("url") if isinstance(job.environment, Mapping) else None


def _permissions(flow: Flow, state: RunState, job: JobState) -> Mapping[str, str] | None:
    """The job's own, else its flow's, else those of the job that calls the flow; and never more than any caller has.

    A run whose own flow says nothing lets none that it calls prove what it is (`id-token`), as at GitHub.
    """
    links = [_said(flow, state, link) for link in (job, *calling_jobs(state, scope_of(job.node)))]
    said = [link for link in links if link is not None]
    if not said:
        return None
    granted, *callers = said
    if len(links) > 1 and links[-1] is None:
        callers.append({name: level for name, level in granted.items() if name != _PROVING})
    for caller in callers:
        granted = {
            name: min(level, caller.get(name, "none"), key=_LEVELS.index) for name, level in granted.items()
        }
    return granted


def _said(flow: Flow, state: RunState, job: JobState) -> Mapping[str, str] | None:
    own = written_job(flow, state, job.node).permissions
    return flow_of(flow, state, scope_of(job.node)).permissions if own is None else own


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
