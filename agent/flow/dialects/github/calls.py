"""A call of another flow, held against what that flow declares.

Rules and words from actions/runner `WorkflowTemplateConverter.ConvertToWorkflowJobInputs` and
`ValidateWorkflowJobSecrets`; permissions from `PermissionsHelper`.
"""

from collections.abc import Mapping
from typing import Final

from agent.flow.expressions import has_expression, to_text
from agent.flow.model import Flow, FlowCall, Input, Job, Position, Template, Trigger, TriggerKind
from agent.flow.problems import Problem

_LEVELS: Final = ("none", "read", "write")


def check_call(caller: FlowCall, called: Flow, position: Position) -> list[Problem]:
    """What is wrong with the call of `called` by `caller`, which stands at `position`."""
    trigger = called.trigger_of(TriggerKind.CALL)
    if trigger is None:
        message = "workflow_call key is not defined in the referenced workflow."
        return [Problem(position, message, "add `workflow_call` to its `on`")]
    complaints = [*_check_inputs(caller, trigger), *_check_secrets(caller, trigger)]
    return [Problem(position, complaint) for complaint in complaints]


def check_called(flow: Flow, job: Job, called: Flow) -> list[Problem]:
    """What is wrong with the call of `called` by a job of `flow`: what it hands over, and what it may not allow."""
    call = job.call
    assert call is not None
    problems = check_call(call, called, job.position)
    allowed = flow.permissions if job.permissions is None else job.permissions
    requests = {"workflow": called.permissions}
    requests |= {f"nested job '{name}'": inner.permissions for name, inner in called.jobs.items()}
    for who, requested in requests.items():
        excess = sorted(find_excess_permissions(allowed, requested).items())
        if excess:
            wanted = ", ".join(f"{name}: {level}" for name, (level, _most) in excess)
            most = ", ".join(f"{name}: {level}" for name, (_wanted, level) in excess)
            complaint = f"The {who} is requesting '{wanted}', but is only allowed '{most}'."
            problems.append(Problem(job.position, f"Error calling workflow '{call.uses}'. {complaint}"))
    return problems


def find_excess_permissions(
    allowed: Mapping[str, str] | None, requested: Mapping[str, str] | None
) -> dict[str, tuple[str, str]]:
    """The permissions that a called flow or job asks for beyond its caller's: name -> (wanted, allowed).

    None: nothing was said; then the caller limits nothing, or the called one takes what it is given.
    """
    if allowed is None or requested is None:
        return {}
    return {
        name: (wanted, allowed.get(name, "none"))
        for name, wanted in requested.items()
        if _LEVELS.index(wanted) > _LEVELS.index(allowed.get(name, "none"))
    }


def _check_inputs(caller: FlowCall, trigger: Trigger) -> list[str]:
    given = {name.lower(): value for name, value in caller.with_.items()}
    declared = {declaration.name.lower() for declaration in trigger.inputs}
    complaints = []
    for declaration in trigger.inputs:
        value = given.get(declaration.name.lower())
        if declaration.name.lower() in given:
            complaints.append(_check_type(declaration, value))
        elif declaration.required:
            complaints.append(f"Input {declaration.name} is required, but not provided while calling.")
    complaints += [
        f"Invalid input, {name} is not defined in the referenced workflow."
        for name in caller.with_
        if name.lower() not in declared
    ]
    return [complaint for complaint in complaints if complaint]


def _check_type(declaration: Input, value: Template) -> str:
    """Text takes any value; a number or a boolean must be written as one, for nothing converts it on the way."""
    if isinstance(value, str) and has_expression(value):
        return ""
    if declaration.type == "string" or not isinstance(value, str | bool | int | float):
        return ""
    fits = isinstance(value, bool) is (declaration.type == "boolean") and not isinstance(value, str)
    return "" if fits else f"Input {declaration.name} must be a {declaration.type}, not '{to_text(value)}'."


def _check_secrets(caller: FlowCall, trigger: Trigger) -> list[str]:
    if caller.inherits_secrets:
        return []
    given = {name.lower() for name in caller.secrets}
    declared = {name.lower() for name in trigger.secrets}
    complaints = [
        f"Secret {name} is required, but not provided while calling."
        for name, required in trigger.secrets.items()
        if required and name.lower() not in given
    ]
    return complaints + [
        f"Invalid secret, {name} is not defined in the referenced workflow."
        for name in caller.secrets
        if name.lower() not in declared
    ]
