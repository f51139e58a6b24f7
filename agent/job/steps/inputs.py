"""An action's inputs: what was written under `with:`, and the defaults of what was not.

Source: actions/runner `ActionRunner.cs`. `required` is not enforced; an unknown input is warned about, and passed on.
"""

import shlex
from collections.abc import Mapping

from agent.flow.expressions import to_text, write_value
from agent.job.steps.contexts import evaluate_mapping, evaluate_value
from agent.job.steps.facts import find_words
from agent.job.steps.input_warnings import warn_of_inputs
from agent.job.steps.parts import StepAction
from agent.job.steps.state import StepScope
from agent.job.steps.steprun import StepRun, StepStage


def read_inputs(step: StepRun, action: StepAction) -> dict[str, object]:
    """The inputs by name, text but for actions that take values.

    Raises AgentError when a template cannot be evaluated, and where an action that takes values is not given what it needs.
    """
    if find_words(step.job, action).has_values:
        from agent.job.steps.value_inputs import read_value_inputs  # most actions take text

        return read_value_inputs(step, action)
    return dict(_read_texts(step, action))


def _read_texts(step: StepRun, action: StepAction) -> dict[str, str]:
    declared, written = action.manifest.inputs, _read_written(step, action)
    names = {name.lower(): name for name in declared}
    inputs = {names.get(name.lower(), name): value for name, value in written.items()}
    own_scope = StepScope(path=("__defaults",), github=step.github())
    for name, item in declared.items():
        if name not in inputs:
            values = evaluate_mapping(step.job, own_scope, {}, {name: item.default}, step.place)
            inputs[name] = to_text(values[name])
    if step.stage is StepStage.MAIN:
        warn_of_inputs(step, action, list(inputs), names)
    return inputs


def _read_written(step: StepRun, action: StepAction) -> dict[str, str]:
    """What the step hands over: text, at the border of a flow of values too."""
    if step.job.conventions.has_values:
        from agent.job.steps.value_inputs import read_given

        return {name: write_value(value) for name, value in read_given(step, action).items()}
    own = {"action": step.spec.id}
    given = {name: value for name, value in step.spec.with_.items() if not isinstance(value, (list, tuple))}
    written = evaluate_mapping(step.job, step.scope, step.env, given, step.place, own)
    return written | {
        name: _join(step, step.spec.with_[name], own) for name in step.spec.with_.keys() - given.keys()
    }


def _join(step: StepRun, words: object, own: Mapping[str, object]) -> str:
    """A list of words as the line of which a shell would make these words again: so does who runs them (`args`)."""
    value = evaluate_value(step.job, step.scope, step.env, words, step.place, own)
    assert isinstance(value, list)
    return shlex.join(to_text(word) for word in value)
