"""Jobs in GitHub's keys."""

from agent.flow.data import App
from agent.flow.dialects.github.writing.data import write_bring, write_keep
from agent.flow.dialects.github.writing.steps import write_step
from agent.flow.dialects.github.writing.templates import Writer
from agent.flow.identifiers import explain_invalid
from agent.flow.model import Concurrency, Defaults, FlowCall, Job, Position, Strategy, Template

_Fields = dict[str, object]
_ANY_AGENT = "self-hosted"  # a label that all agents have


def write_job(writer: Writer, job: Job) -> _Fields:
    """One job."""
    complaint = explain_invalid(job.id)
    if complaint:
        writer.lose(job.position, complaint)
    fields = _write_head(writer, job)
    if job.call is not None:
        return {**fields, **_write_call(writer, job, job.call)}
    return {**fields, **_write_settings(writer, job), **_write_work(writer, job)}


def write_defaults(writer: Writer, defaults: Defaults, place: Position) -> _Fields:
    """`defaults`, of a job or of the flow; nothing where nothing is said."""
    run = {"shell": defaults.shell, "working-directory": defaults.working_directory}
    said = {key: writer.write(value, place) for key, value in run.items() if value is not None}
    return {"defaults": {"run": said}} if said else {}


def write_concurrency(writer: Writer, concurrency: Concurrency | None, place: Position) -> _Fields:
    """`concurrency`, of a job or of the flow; nothing where nothing is said."""
    if concurrency is None:
        return {}
    said: _Fields = {"group": writer.write(concurrency.group, place)}
    if concurrency.cancel_in_progress is not False:
        said["cancel-in-progress"] = writer.write(concurrency.cancel_in_progress, place)
    if concurrency.queue != "single":
        said["queue"] = concurrency.queue
    return {"concurrency": said}


def _write_head(writer: Writer, job: Job) -> _Fields:
    """What jobs with steps and calls of flows have both."""
    place = job.position
    fields: _Fields = {} if job.name is None else {"name": writer.write(job.name, place)}
    if job.needs:
        fields["needs"] = list(job.needs)
    if job.condition != "success()":
        fields["if"] = writer.write_expression(job.condition, place)
    if job.strategy != Strategy():
        fields["strategy"] = _write_strategy(writer, job.strategy, place)
    if job.permissions is not None:
        fields["permissions"] = dict(job.permissions)
    return {**fields, **write_concurrency(writer, job.concurrency, place)}


def _write_strategy(writer: Writer, strategy: Strategy, place: Position) -> _Fields:
    fields: _Fields = {}
    if strategy.matrix is not None:
        fields["matrix"] = writer.write(strategy.matrix, place)
    if strategy.fail_fast is not True:
        fields["fail-fast"] = writer.write(strategy.fail_fast, place)
    if strategy.max_parallel is not None:
        fields["max-parallel"] = writer.write(strategy.max_parallel, place)
    return fields


def _write_call(writer: Writer, job: Job, call: FlowCall) -> _Fields:
    fields: _Fields = {"uses": call.uses}
    if call.with_:
        fields["with"] = writer.write(call.with_, job.position)
    if call.secrets or call.inherits_secrets:
        fields["secrets"] = "inherit" if call.inherits_secrets else writer.write(call.secrets, job.position)
    return fields


def _write_settings(writer: Writer, job: Job) -> _Fields:
    """What is not said is left out where GitHub's default is the same."""
    usual: dict[str, tuple[Template, Template]] = {
        "timeout-minutes": (job.timeout_minutes, 360.0),
        "cancel-timeout-minutes": (job.cancel_timeout_minutes, 5.0),
        "continue-on-error": (job.continue_on_error, False),
        "environment": (job.environment, None),
        "container": (job.container, None),
        "services": (job.services, None),
        "env": (job.env, None),
        "snapshot": (job.snapshot, None),
        "resources": (job.resources, None),
        "priority": (job.priority, 0),
        "nodes": (job.nodes, 1),
        "retry": (job.retry, None),
        "interruptible": (job.interruptible, False),
        "checkpoints": (job.checkpoints, None),
    }
    written = {
        key: writer.write(value, job.position) for key, (value, default) in usual.items() if value != default
    }
    runs_on = writer.write(job.runs_on, job.position) if job.runs_on else _ANY_AGENT
    return {"runs-on": runs_on, **written, **write_defaults(writer, job.defaults, job.position)}


def _write_app(writer: Writer, app: App) -> _Fields:
    usual: dict[str, tuple[Template, Template]] = {"port": (app.port, 0), "opens": (app.opens, "/")}
    return {
        key: writer.write(value, app.position) for key, (value, default) in usual.items() if value != default
    }


def _write_work(writer: Writer, job: Job) -> _Fields:
    if job.stages:
        writer.lose(
            job.position,
            "records stream through the stages of this flow for as long as it runs, and there a job has steps",
            "`agent flow deploy` runs it as it is",
        )
    fields: _Fields = {}
    if job.outputs:
        fields["outputs"] = writer.write(job.outputs, job.position)
    if job.brings:
        fields["brings"] = [write_bring(writer, bring) for bring in job.brings]
    if job.keeps:
        fields["keeps"] = [write_keep(writer, keep) for keep in job.keeps]
    if job.apps:
        fields["apps"] = {app.name: _write_app(writer, app) for app in job.apps}
    if job.sees_all_secrets:
        writer.lose(
            job.position,
            "each secret is a variable of the job, and there those alone that it names",
            "name them in `env`, as in `KEY: ${{ secrets.KEY }}`",
        )
    elif job.sees_secrets:
        writer.differ(
            job.position,
            "actions find the secrets that they say they need, and there those that the job names",
        )
    return {**fields, "steps": [write_step(writer, step) for step in job.steps]}
