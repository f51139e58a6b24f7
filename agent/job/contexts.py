"""What expressions see on the machine: contexts, status functions, and GitHub's words for what is wrong.

Source: actions/runner `GitHubContext.cs`, `RunnerContext.cs`, `ConditionTraceWriter`; github-facts sections 2 and 3.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from agent.errors import AgentError
from agent.flow.expressions import (
    CaseSensitive,
    ExpressionError,
    evaluate,
    evaluate_template,
    is_truthy,
    to_text,
)
from agent.job.hash_files import hash_files
from agent.job.state import RunningJob, Scope, runner_context
from agent.spec.outcome import Conclusion

_NOTHING: Mapping[str, object] = MappingProxyType({})
# Members of `github` that every process finds as GITHUB_*.
_EXPORTED = (
    *("action", "action_path", "action_ref", "action_repository", "actor", "actor_id", "api_url", "base_ref"),
    *(
        "event_name",
        "event_path",
        "graphql_url",
        "head_ref",
        "job",
        "ref",
        "ref_name",
        "ref_protected",
        "ref_type",
    ),
    *(
        "repository",
        "repository_id",
        "repository_owner",
        "repository_owner_id",
        "retention_days",
        "run_attempt",
    ),
    *(
        "run_id",
        "run_number",
        "server_url",
        "sha",
        "triggering_actor",
        "workflow",
        "workflow_ref",
        "workflow_sha",
    ),
    "workspace",
)


def make_contexts(
    job: RunningJob, scope: Scope, env: Mapping[str, str], own: Mapping[str, object] = _NOTHING
) -> dict[str, object]:
    """The contexts of a step: in a composite action `secrets`, `needs` and `vars` are not among them.

    `own` are members of `github` that are this very step's (`github.action`).
    """
    settled = job.spec.contexts
    contexts: dict[str, object] = {
        "github": {**github_context(job, scope), **own},
        "runner": runner_context(job),
        "env": CaseSensitive(env),
        "job": _job_context(job),
        "steps": scope.steps,
        "strategy": settled.strategy,
        "matrix": settled.matrix,
        "inputs": scope.inputs,
    }
    if not scope.is_composite:
        contexts |= {"vars": settled.vars, "needs": settled.needs, "secrets": job.secrets}
    return contexts


def github_context(job: RunningJob, scope: Scope) -> dict[str, object]:
    """The `github` context as the steps of `scope` see it."""
    context: dict[str, object] = {
        **job.spec.contexts.github,
        "workspace": job.show_path(job.places.workspace),
        "event_path": job.show_path(job.places.event),
        "token": job.secrets.get("GITHUB_TOKEN", ""),
        **scope.github,
    }
    context.setdefault("job", job.spec.key.partition(" (")[0])
    if scope.is_composite:
        context["action_status"] = scope.status.value
    return context


def _job_context(job: RunningJob) -> dict[str, object]:
    services = {
        service.name: {"id": service.id, "network": service.network, "ports": service.ports}
        for service in job.containers.services.values()
    }
    github = job.spec.contexts.github
    repository, reference = to_text(github.get("repository")), to_text(github.get("workflow_ref"))
    return {
        "status": job.status.value,
        "container": job.containers.container,
        "services": services,
        "workflow_ref": reference,
        "workflow_sha": github.get("workflow_sha"),
        "workflow_repository": repository,
        "workflow_file_path": reference.removeprefix(f"{repository}/").partition("@")[0],
    }


def exported_variables(job: RunningJob, github: Mapping[str, object]) -> dict[str, str]:
    """GITHUB_* and RUNNER_*: what no flow can override."""
    variables = {
        f"GITHUB_{name.upper()}": to_text(github[name]) for name in _EXPORTED if github.get(name) is not None
    }
    variables |= {f"RUNNER_{name.upper()}": to_text(value) for name, value in runner_context(job).items()}
    variables["RUNNER_TRACKING_ID"] = job.folder.tracking_id
    variables["AGENT_TOOLSDIRECTORY"] = job.show_path(job.places.tools)
    return variables


def make_functions(job: RunningJob) -> dict[str, Callable[..., object]]:
    """The functions that templates may call beside the built-in ones."""
    return {
        "hashFiles": lambda *patterns: hash_files(job.places.workspace, [to_text(item) for item in patterns])
    }


def status_functions(job: RunningJob, scope: Scope) -> dict[str, Callable[..., object]]:
    """The functions of a condition. Steps of a composite look at how the composite stands, `cancelled()` at the job."""
    status = scope.status if scope.is_composite and job.status is not Conclusion.CANCELLED else job.status
    return {
        **make_functions(job),
        "success": lambda *_names: status is Conclusion.SUCCESS,
        "failure": lambda *_names: status is Conclusion.FAILURE,
        "cancelled": lambda: job.status is Conclusion.CANCELLED,
        "always": lambda: True,
    }


def evaluate_condition(
    job: RunningJob,
    scope: Scope,
    env: Mapping[str, str],
    condition: str,
    place: str,
    functions: Mapping[str, Callable[..., object]],
    own: Mapping[str, object] = _NOTHING,
) -> bool:
    """Whether a step's turn has come. Raises AgentError when its `if` cannot be evaluated."""
    if condition == "always()":
        return True
    if condition == "success()":
        return bool(functions["success"]())
    try:
        return is_truthy(evaluate(condition, make_contexts(job, scope, env, own), functions))
    except ExpressionError as error:
        raise invalid_template(error, place) from None


def evaluate_value(
    job: RunningJob,
    scope: Scope,
    env: Mapping[str, str],
    template: object,
    place: str,
    own: Mapping[str, object] = _NOTHING,
) -> object:
    """The value of a template. Raises AgentError with GitHub's sentence and the place."""
    if (
        template is None
        or isinstance(template, (bool, int, float))
        or (isinstance(template, str) and "${{" not in template)
    ):
        return template
    try:
        return evaluate_template(template, make_contexts(job, scope, env, own), make_functions(job))
    except ExpressionError as error:
        raise invalid_template(error, place) from None


def evaluate_mapping(
    job: RunningJob,
    scope: Scope,
    env: Mapping[str, str],
    template: object,
    place: str,
    own: Mapping[str, object] = _NOTHING,
) -> dict[str, str]:
    """The value of a template that must be a mapping, its values as text (`env`, `with`)."""
    if not template:
        return {}
    value = evaluate_value(job, scope, env, template, place, own)
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        raise invalid_template(ExpressionError("evaluation", "A mapping was expected"), place)
    return {str(key): to_text(item) for key, item in value.items()}


def invalid_template(error: ExpressionError, place: str) -> AgentError:
    """GitHub's way to say that an expression is wrong."""
    return AgentError(f"The template is not valid. {f'{place}: ' if place else ''}{error.message}")
