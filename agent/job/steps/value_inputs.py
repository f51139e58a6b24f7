"""Inputs of an action that takes values: each keeps its kind, is cast to the type that it is declared as, and is there when it must be."""

from collections.abc import Mapping

from agent.errors import AgentError
from agent.flow.expressions import ExpressionError, evaluate_paths
from agent.job.steps.casting import cast_input
from agent.job.steps.contexts import (
    evaluate_pairs,
    evaluate_value,
    is_settled,
    make_contexts,
    value_contexts,
)
from agent.job.steps.facts import find_words
from agent.job.steps.input_warnings import warn_of_inputs
from agent.job.steps.parts import StepAction
from agent.job.steps.steprun import StepRun, StepStage
from agent.resolve.manifests.model import ActionInput


def read_value_inputs(step: StepRun, action: StepAction) -> dict[str, object]:
    """The inputs by name. Raises AgentError for one that can't be evaluated, is missing, or is not of its type."""
    declared = action.manifest.inputs
    names = {name.lower(): name for name in declared}
    given = {
        name if name in declared else names.get(name.lower(), name): value
        for name, value in read_given(step, action).items()
    }
    if step.stage is StepStage.MAIN:
        warn_of_inputs(step, action, list(given), names)
    values = dict(given)
    for name, item in declared.items():
        found = _complete(step, action, item, values)
        values[name] = None if found is None else cast_input(item, found, step.place)
    return values


def read_given(step: StepRun, action: StepAction) -> dict[str, object]:
    """What the step hands over, each of its own kind. In a flow of values an input may read those that stand above it."""
    job, scope, own = step.job, step.scope, {"action": step.spec.id}
    if not job.conventions.has_values or scope.is_composite:
        return evaluate_pairs(job, scope, step.env, dict(step.spec.with_), step.place, own)
    values: dict[str, object] = {}
    for name, template in step.spec.with_.items():
        brought = (
            {}
            if is_settled(template)
            else value_contexts(job, scope, job.conventions, step.about(action), values)
        )
        values[name] = evaluate_value(job, scope, step.env, template, step.place, own, brought)
    return values


def _complete(step: StepRun, action: StepAction, item: ActionInput, values: Mapping[str, object]) -> object:
    """What the input is: as given, its default, for a required one what an earlier step had under its name, or nothing."""
    found = values.get(item.name)
    is_missing = found is None or (found == "" and item.type != "string")
    if is_missing:
        found = _read_default(step, action, item, values)
    if found is None and item.required:
        found = step.scope.values.get(item.name)
    if found is None and item.required:
        raise AgentError(
            f"the input '{item.name}' of '{step.spec.uses}' is required, and nothing was given for it",
            where=step.place,
        )
    return found


def _read_default(
    step: StepRun, action: StepAction, item: ActionInput, values: Mapping[str, object]
) -> object:
    if is_settled(item.default):
        return item.default
    contexts = {
        **make_contexts(step.job, step.scope, step.env),
        **value_contexts(step.job, step.scope, find_words(step.job, action), step.about(action), values),
    }
    contexts.pop("secrets", None)  # whoever wrote the action names those that it sees in its `env`
    try:
        return evaluate_paths(item.default, contexts)
    except ExpressionError as error:
        raise AgentError(
            f"the default of the input '{item.name}' can't be had here: {error.message}",
            where=step.place,
            hint=f"give '{item.name}' a value",
        ) from None
