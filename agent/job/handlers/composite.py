"""Composite actions: steps in a scope of their own.

The inner steps see the action's inputs, their own `steps`, and the environment; neither `secrets` nor the outer inputs.
Source: actions/runner `CompositeActionHandler.cs`.
"""

import asyncio

from agent.flow.expressions import to_text
from agent.job.steps.contexts import evaluate_value
from agent.job.steps.state import StepScope
from agent.job.steps.steprun import RunSteps, StepFailure, StepRun
from agent.resolve.manifests.model import DEEPEST_COMPOSITE, CompositeRuns, nested_too_deep
from agent.spec.outcome import Conclusion, FailureKind


class CompositeHandler:
    """Runs the steps of an action."""

    async def run(self, step: StepRun, run_steps: RunSteps) -> None:
        """Run the steps, then evaluate the declared outputs. Fails when one of the steps did."""
        assert step.action is not None
        runs = step.action.manifest.runs
        assert isinstance(runs, CompositeRuns)
        step.show_action()
        step.log.flush()  # before anything that the inner steps print
        scope = enter_scope(step, step.log.step)
        await run_steps(runs.steps, scope)
        for name, output in step.action.manifest.outputs.items():
            if output.value is not None:
                value = evaluate_value(step.job, scope, step.env, output.value, step.place)
                step.effects.outputs[name] = to_text(value)
        if scope.status is Conclusion.CANCELLED:
            step.effects.was_cancelled_within = True
            raise asyncio.CancelledError
        if scope.status is Conclusion.FAILURE:
            kind, message, code = scope.failure or (FailureKind.USER, "", None)
            raise StepFailure(message, kind, is_said=True, exit_code=code)


def enter_scope(step: StepRun, parent: int | None) -> StepScope:
    """The scope of the steps within the composite action `step`, shown under the step `parent`. Raises StepFailure when it is nested too deep."""
    path = (*step.scope.path, step.spec.id)
    if len(path) > DEEPEST_COMPOSITE:
        raise StepFailure(str(nested_too_deep()), FailureKind.ACTION)
    github = {name: value for name, value in step.github().items() if name.startswith("action")}
    return StepScope(
        parent=parent,
        path=path,
        inputs=dict(step.inputs),
        env=step.own_env,
        github=github,
        action=step.action,
        deadlines=step.deadlines,
    )
