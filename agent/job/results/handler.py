"""A handler around another one's: a step whose action has run before with the same inputs takes over what that gave.

is it kept? --yes--> its outputs are the step's; nothing runs
--no---> the action runs --it succeeds, and did nothing but give outputs--> they are kept
"""

from agent import codec
from agent.flow.expressions import write_value
from agent.job.results.key import find_obstacle, make_key
from agent.job.results.places import MOST_RESULT_BYTES, find_place
from agent.job.steps.steprun import Handler, RunSteps, StepRun


class CachedHandler:
    """Runs the step, or finds that it need not."""

    def __init__(self, inner: Handler) -> None:
        self._inner = inner

    async def run(self, step: StepRun, run_steps: RunSteps) -> None:
        """See Handler."""
        assert step.action is not None
        if obstacle := find_obstacle(step, step.action):
            step.log.say(f"Its result is not taken from an earlier run, nor kept: {obstacle}")
            await self._inner.run(step, run_steps)
            return
        place, key = find_place(step), make_key(step, step.action)
        found = await place.find(step, key)
        if found is not None:
            step.show_action()
            step.log.say(f"Found: outputs of {found.of}; the action does not run")
            step.effects.outputs.update(found.outputs)
            return
        before = _copy_environment(step)
        await self._inner.run(step, run_steps)
        outputs = codec.dump(dict(step.effects.outputs))
        if why := _find_doubt(step, before, outputs):
            step.log.say(f"Its result is not kept for the next run: {why}")
        else:
            await place.keep(step, key, outputs)


def _hold_secret(step: StepRun) -> bool:
    """Whether an output holds a secret as it is, before JSON has quoted it."""
    values = map(write_value, step.effects.outputs.values())
    return any(value and step.job.masker.holds_secret(value) for value in values)


def _copy_environment(step: StepRun) -> tuple[dict[str, str], list[str]]:
    """What steps find; those of a composite action change it while it runs."""
    environment = step.job.environment
    return dict(environment.values), list(environment.paths)


def _find_doubt(step: StepRun, before: tuple[dict[str, str], list[str]], outputs: str) -> str:
    """Why what the step gave is not all that it did, or can't be kept."""
    effects = step.effects
    if effects.errors:
        return "it failed"
    if effects.env or effects.paths or _copy_environment(step) != before:
        return "it changed the environment of the steps that follow"
    if len(outputs) > MOST_RESULT_BYTES:
        return f"its outputs are over {MOST_RESULT_BYTES} bytes"
    if step.job.masker.holds_secret(outputs) or _hold_secret(step):
        return "a secret is among its outputs"
    return ""
