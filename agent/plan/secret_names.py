"""Secret names in a job, so that an agent is handed those secrets and no others."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from agent.flow.expressions import has_expression
from agent.flow.model import Flow, Job, Step
from agent.flow.stages import list_named
from agent.plan.scopes import calling_jobs, flow_of, scope_of, written_job
from agent.plan.state import JobState, RunState
from agent.spec.conventions import JOB_TOKEN

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
# `secrets.NAME`, `secrets['NAME']`, or the bare context in any other use (toJSON(secrets), secrets[matrix.key]).
_USE = re.compile(r"\bsecrets\b(?:\s*\.\s*([A-Za-z_][\w-]*)|\s*\[\s*'([^']+)'\s*\])?", re.IGNORECASE)


def list_secrets(flow: Flow, state: RunState, job: JobState) -> tuple[tuple[str, ...], tuple[JobState, ...]]:
    """The run's secrets that a job can reach, and the calls on the way to it that rename them, outermost first.

    A job in an environment also gets what it names, itself or through calls, and nobody knows yet: the environment may have it.
    """
    own = flow_of(flow, state, scope_of(job.node))
    written = written_job(flow, state, job.node)
    names = {name.lower(): name for name, _ in _list_named(own, written)}
    if written.sees_all_secrets:
        names["*"] = "*"
    callers: list[JobState] = []
    for caller in calling_jobs(state, scope_of(job.node)):
        call = written_job(flow, state, caller.node).call
        assert call is not None
        if not call.inherits_secrets:
            callers.insert(0, caller)
            wanted = [value for name, value in call.secrets.items() if _is_wanted(name, names)]
            names = {name.lower(): name for name in _named(iter(wanted))}
    known = state.request.secrets
    if "*" in names or written.sees_secrets:
        return known, tuple(callers)
    found = tuple(name for name in known if name.lower() in names)
    if written.environment is None or not state.request.sees_secrets:
        return found, tuple(callers)
    here = {name.lower() for name in found}
    return (*found, *(name for key, name in names.items() if key not in here)), tuple(callers)


def find_unset(flow: Flow, jobs: Collection[str], known: Collection[str]) -> dict[str, str]:
    """The secrets that `jobs` of the flow name and that are not among `known` (names have no case): name → a job's place.

    They are empty, as at GitHub.
    """
    names = {name.upper() for name in known}
    chosen = replace(flow, jobs={name: flow.jobs[name] for name in jobs})
    return {name: place for name, place in named_secrets(chosen).items() if name.upper() not in names}


def list_unset(flow: Flow, state: RunState, job: JobState) -> tuple[str, ...]:
    """The secrets that a job names and nobody has set, where that is certain: an environment, or a call, may bring them."""
    written = written_job(flow, state, job.node)
    scope = scope_of(job.node)
    calls = (written_job(flow, state, caller.node).call for caller in calling_jobs(state, scope))
    is_renamed = any(call is not None and not call.inherits_secrets for call in calls)
    if written.environment is not None or is_renamed or not state.request.sees_secrets:
        return ()
    own = flow_of(flow, state, scope)
    return tuple(find_unset(replace(own, jobs={written.id: written}), (written.id,), state.request.secrets))


def named_secrets(flow: Flow) -> dict[str, str]:
    """Every secret that the flow names outright, as name → the place of the job, or the stage, that does.

    Those that a called flow inherits are among them; the job's own token, which always exists, is not, and neither is what a
    job in an environment names, or a call hands on to one: the environment may have it.
    """
    found: dict[str, str] = {}
    for job in flow.jobs.values():
        if job.call is not None and job.call.inherits_secrets and job.call.uses in flow.called:
            found = {**named_secrets(flow.called[job.call.uses]), **found}
        if _has_environment(flow, job):
            continue
        for name, place in _list_named(flow, job):
            if name not in ("*", JOB_TOKEN):
                found.setdefault(name, place)
    return found


def _has_environment(flow: Flow, job: Job) -> bool:
    """Whether the job, or any that it calls, is in an environment."""
    called = flow.called.get(job.call.uses) if job.call is not None else None
    inner = called is not None and any(_has_environment(called, other) for other in called.jobs.values())
    return job.environment is not None or inner


def _list_named(flow: Flow, job: Job) -> Iterator[tuple[str, str]]:
    """The secrets that a job names, each with the place of the job, or of its stage; `*` where it may read any."""
    for name in _named(_job_templates(flow, job)):
        yield name, str(job.position)
    for stage in job.stages:
        for name in list_named(stage.config):
            yield name, str(stage.position)


def _job_templates(flow: Flow, job: Job) -> Iterator[object]:
    yield from (flow.env, job.env, job.outputs, job.container, job.services)
    if job.call:
        yield from (job.call.with_, job.call.secrets)
    yield from (template for step in job.steps for template in _step_templates(step))


def _step_templates(step: Step) -> Iterator[object]:
    yield from (step.name, step.run, step.with_, step.env, step.working_directory)
    yield from (step.continue_on_error, step.timeout_minutes)
    yield from (template for child in step.children for template in _step_templates(child))


def _is_wanted(name: str, names: Mapping[str, str]) -> bool:
    return "*" in names or name.lower() in names or has_expression(name)


def _named(templates: Iterator[object]) -> Iterator[str]:
    for template in templates:
        for text in _texts(template):
            for expression in _EXPRESSION.findall(text):
                for dotted, indexed in _USE.findall(expression):
                    yield dotted or indexed or "*"


def _texts(template: object) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, Mapping):
        for key, value in template.items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(template, (list, tuple)):
        for value in template:
            yield from _texts(value)
