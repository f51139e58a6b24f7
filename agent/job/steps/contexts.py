"""Contexts on the machine, status functions, and GitHub's words for what is wrong.

Source: actions/runner `GitHubContext.cs`, `RunnerContext.cs`, `ConditionTraceWriter`; github-facts sections 2 and 3.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from agent.errors import AgentError
from agent.flow.expressions import (
    RUNNING,
    CaseSensitive,
    ExpressionError,
    evaluate,
    evaluate_paths,
    evaluate_template,
    is_truthy,
    spending,
    to_text,
    write_value,
)
from agent.job.steps.parts import View
from agent.job.steps.state import RunningJob, StepScope
from agent.spec.conventions import TRACKING_VARIABLE, Conventions, describe_server
from agent.spec.outcome import Conclusion

if TYPE_CHECKING:
    from agent.job.steps.facts import AboutStep

_NOTHING: Mapping[str, object] = MappingProxyType({})
_NOT_IN_COMPOSITES = ("secrets", "needs", "vars")
_ARCHITECTURES = {"x86_64": "X64", "aarch64": "ARM64", "armv7l": "ARM", "i686": "X86"}


def view_of(job: RunningJob) -> View:
    """The view of the host at which the job's steps run just now."""
    view: View | None = job.view
    if view is None or view.host is not job.host:
        view = job.view = _make_view(job)
    return view


def _make_view(job: RunningJob) -> View:
    words, runner = job.conventions, _runner_context(job)
    github: dict[str, object] = {
        **job.spec.context("github"),
        **_served_code(job),
        "workspace": job.show_path(job.places.workspace),
        "event_path": job.show_path(job.places.event),
        "token": job.secrets.get(words.own_token, ""),
    }
    github.setdefault("job", job.spec.key.partition(" (")[0])
    variables = {
        **_export(words, github),
        **{words.machine_variable(name): to_text(value) for name, value in runner.items()},
        TRACKING_VARIABLE: job.folder.tracking_id,
        words.tools_variable: job.show_path(job.places.tools),
        **{
            f"FLOW_{folder.name.upper()}": job.show_path(folder) for folder in job.places.data_folders
        },  # FLOW_INPUTS, FLOW_OUTPUTS
    }
    return View(job.host, runner, github, variables)


def _served_code(job: RunningJob) -> Mapping[str, object]:
    """Where the run's code is served as a repository, when it is; else that is as the flow's language says.

    The token and the host that it is shown to go together: one that is the job's own is for its server alone.
    """
    is_own = bool(job.runtime_token) and job.secrets.get(job.conventions.own_token) == job.runtime_token
    is_here = is_own or job.spec.source.has_server
    url = job.settings.code_url or (job.settings.server_url if is_here else "")
    return describe_server(url, has_api=not job.settings.is_upstreams_token) if url else _NOTHING


def _runner_context(job: RunningJob) -> dict[str, object]:
    machine = os.uname()
    context: dict[str, object] = {
        "name": job.settings.agent_name,
        "os": "Linux" if machine.sysname == "Linux" else "macOS",
        "arch": _ARCHITECTURES.get(machine.machine, machine.machine.upper()),
        "temp": job.show_path(job.places.temp),
        "tool_cache": job.show_path(job.places.tools),
        "workspace": job.show_path(job.places.root),
        "environment": "self-hosted",
    }
    if job.shows_debug:
        context["debug"] = "1"
    return context


def make_contexts(
    job: RunningJob,
    scope: StepScope,
    env: Mapping[str, str],
    own: Mapping[str, object] = _NOTHING,
    brought: Mapping[str, object] = _NOTHING,
) -> dict[str, object]:
    """The contexts of a step: in a composite action `secrets`, `needs` and `vars` are not among them.

    `own` are members of `github` that are this very step's (`github.action`), `brought` whole contexts that are.
    """
    settled = job.spec.context
    contexts: dict[str, object] = {
        **job.spec.contexts,  # whatever the flow's language brings
        "github": {**github_context(job, scope), **own},
        "runner": view_of(job).runner,
        "env": CaseSensitive(env),
        "job": _job_context(job),
        "steps": scope.steps,
        "strategy": settled("strategy"),
        "matrix": settled("matrix"),
        "inputs": scope.inputs,
        "vars": settled("vars"),
        "needs": settled("needs"),
        "resume": job.resume,
        "secrets": job.secrets,
    }
    if scope.is_composite:
        for name in _NOT_IN_COMPOSITES:
            del contexts[name]
    elif job.conventions.has_values:
        contexts |= value_contexts(job, scope, job.conventions)
    return {**contexts, **brought} if brought else contexts


def value_contexts(
    job: RunningJob,
    scope: StepScope,
    words: Conventions,
    about: "AboutStep | None" = None,
    inputs: Mapping[str, object] = _NOTHING,
) -> dict[str, object]:
    """The contexts that a language of values has beside the others: the machine's, and all inputs and outputs so far.

    `inputs` are those of the step itself, as far as they are known.
    """
    from agent.job.steps.facts import bring_facts  # most jobs are of a language without

    contexts = bring_facts(job, words, about)
    so_far = {**scope.values, **inputs}
    if words.accumulated:
        contexts[words.accumulated] = {**scope.inputs, **so_far}
    if words.given:
        contexts[words.given] = {**so_far, **scope.inputs}
    return contexts


def github_context(job: RunningJob, scope: StepScope) -> dict[str, object]:
    """The `github` context as the steps of `scope` see it."""
    context: dict[str, object] = {**view_of(job).github, **scope.github}
    if scope.is_composite:
        context["action_status"] = scope.status.value
    return context


def _job_context(job: RunningJob) -> dict[str, object]:
    services = {
        service.name: {"id": service.id, "network": service.network, "ports": service.ports}
        for service in job.containers.services.values()
    }
    github = job.spec.context("github")
    repository, reference = to_text(github.get("repository")), to_text(github.get("workflow_ref"))
    return {
        "status": job.status.value,
        "container": job.containers.container,
        "services": services,
        "workflow_ref": reference,
        "workflow_sha": github.get("workflow_sha"),
        "workflow_repository": repository,
        "workflow_file_path": reference.removeprefix(f"{repository}/").partition("@")[0],
        **job.spec.context("job"),
    }


def exported_variables(job: RunningJob, own: Mapping[str, object]) -> dict[str, str]:
    """What no flow can override. `own` are members of `github` that are not all steps'."""
    return {**view_of(job).variables, **_export(job.conventions, own)}


def _export(words: Conventions, members: Mapping[str, object]) -> dict[str, str]:
    return {
        words.context_variable(name): to_text(value)
        for name, value in members.items()
        if name in words.exported and value is not None
    }


def make_functions(job: RunningJob) -> dict[str, Callable[..., object]]:
    """The functions that templates may call beside the built-in ones."""
    return {"hashFiles": lambda *patterns: _hash_files(job, [to_text(item) for item in patterns])}


def _hash_files(job: RunningJob, patterns: Sequence[str]) -> str:
    from agent.job.steps.hash_files import hash_files  # few jobs call it

    return hash_files(job.places.workspace, patterns)


def status_functions(job: RunningJob, scope: StepScope) -> dict[str, Callable[..., object]]:
    """The functions of a condition. Steps of a composite look at how the composite stands, `cancelled()` at the job."""
    status = _status_of(job, scope)
    return {
        **make_functions(job),
        "success": lambda *_names: status is Conclusion.SUCCESS,
        "failure": lambda *_names: status is Conclusion.FAILURE,
        "cancelled": lambda: job.status is Conclusion.CANCELLED,
        "always": lambda: True,
    }


def _status_of(job: RunningJob, scope: StepScope) -> Conclusion:
    return scope.status if scope.is_composite and job.status is not Conclusion.CANCELLED else job.status


def evaluate_condition(
    job: RunningJob,
    scope: StepScope,
    env: Mapping[str, str],
    condition: str,
    place: str,
    judged: StepScope,
    own: Mapping[str, object] = _NOTHING,
) -> bool:
    """Whether a step's turn has come, as `judged` stands. Raises AgentError when its `if` cannot be evaluated."""
    if condition == "always()":
        return True
    if condition == "success()":
        return _status_of(job, judged) is Conclusion.SUCCESS
    functions = status_functions(job, judged)
    try:
        with spending(RUNNING):
            return is_truthy(evaluate(condition, make_contexts(job, scope, env, own), functions))
    except ExpressionError as error:
        raise invalid_template(error, place) from None


def evaluate_value(
    job: RunningJob,
    scope: StepScope,
    env: Mapping[str, str],
    template: object,
    place: str,
    own: Mapping[str, object] = _NOTHING,
    brought: Mapping[str, object] = _NOTHING,
) -> object:
    """The value of a template. Raises AgentError with GitHub's sentence and the place."""
    if is_settled(template):
        return template
    try:
        with spending(RUNNING):
            contexts = make_contexts(job, scope, env, own, brought)
            if job.conventions.has_values and not scope.is_composite:
                return evaluate_paths(template, contexts)
            return evaluate_template(template, contexts, make_functions(job))
    except ExpressionError as error:
        raise invalid_template(error, place) from None


def is_settled(template: object) -> bool:
    """Whether there is nothing in `template` to evaluate."""
    if isinstance(template, str):
        return "${{" not in template
    return template is None or isinstance(template, (bool, int, float))


def evaluate_mapping(
    job: RunningJob,
    scope: StepScope,
    env: Mapping[str, str],
    template: object,
    place: str,
    own: Mapping[str, object] = _NOTHING,
) -> dict[str, str]:
    """The value of a template that must be a mapping, its values as text (`env`, `with`)."""
    value = evaluate_pairs(job, scope, env, template, place, own)
    write = write_value if job.conventions.has_values else to_text
    return {key: write(item) for key, item in value.items()}


def evaluate_pairs(
    job: RunningJob,
    scope: StepScope,
    env: Mapping[str, str],
    template: object,
    place: str,
    own: Mapping[str, object] = _NOTHING,
) -> dict[str, object]:
    """The value of a template that must be a mapping, its values of whatever kind."""
    if not template:
        return {}
    value = evaluate_value(job, scope, env, template, place, own)
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        raise invalid_template(ExpressionError("evaluation", "A mapping was expected"), place)
    return {str(key): item for key, item in value.items()}


def invalid_template(error: ExpressionError, place: str) -> AgentError:
    """GitHub's way to say that an expression is wrong."""
    return AgentError(
        f"The template is not valid. {f'{place}: ' if place else ''}{error.message}", where=error.where
    )
