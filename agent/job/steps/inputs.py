"""An action's inputs: what was written under `with:`, and the defaults of what was not.

Source: actions/runner `ActionRunner.cs`. `required` is not enforced; an unknown input is warned about, and passed on.
"""

import shlex
from collections.abc import Mapping

from agent.flow.expressions import to_text
from agent.job.steps.contexts import evaluate_mapping, evaluate_value
from agent.job.steps.parts import StepAction
from agent.job.steps.state import StepScope
from agent.job.steps.steprun import StepRun, StepStage


def read_inputs(step: StepRun, action: StepAction) -> dict[str, str]:
    """The inputs by name. Raises AgentError when a template cannot be evaluated."""
    declared = action.manifest.inputs
    own = {"action": step.spec.id}
    given = {name: value for name, value in step.spec.with_.items() if not isinstance(value, (list, tuple))}
    written = evaluate_mapping(step.job, step.scope, step.env, given, step.place, own)
    written |= {
        name: _join(step, step.spec.with_[name], own) for name in step.spec.with_.keys() - given.keys()
    }
    names = {name.lower(): name for name in declared}
    inputs = {names.get(name.lower(), name): value for name, value in written.items()}
    own_scope = StepScope(path=("__defaults",), github=step.github())
    for name, item in declared.items():
        if name not in inputs:
            values = evaluate_mapping(step.job, own_scope, {}, {name: item.default}, step.place)
            inputs[name] = to_text(values[name])
    if step.stage is StepStage.MAIN:
        _warn(step, action, list(inputs), names)
    return inputs


def _join(step: StepRun, words: object, own: Mapping[str, object]) -> str:
    """A list of words as the line of which a shell would make these words again: so does who runs them (`args`)."""
    value = evaluate_value(step.job, step.scope, step.env, words, step.place, own)
    assert isinstance(value, list)
    return shlex.join(to_text(word) for word in value)


def _warn(step: StepRun, action: StepAction, given: list[str], names: dict[str, str]) -> None:
    unknown = [
        name for name in given if name.lower() not in names and name.lower() not in ("entrypoint", "args")
    ]
    if unknown and not (step.spec.uses or "").startswith("docker://"):
        quoted = ", ".join(f"'{name}'" for name in unknown)
        valid = ", ".join(f"'{name}'" for name in names.values())
        step.log.say(f"##[warning]Unexpected input(s) {quoted}, valid inputs are [{valid}]")
    has_pre: object = getattr(action.manifest.runs, "pre", None)
    if has_pre and (step.spec.uses or "").startswith("./"):
        step.log.say(f"##[warning]`pre` execution is not supported for local action from '{step.spec.uses}'")
    for name in step.spec.with_:
        item = action.manifest.inputs.get(names.get(name.lower(), ""))
        if item is not None and item.deprecation_message:
            step.log.say(
                f"##[warning]Input '{name}' has been deprecated with message: {item.deprecation_message}"
            )
