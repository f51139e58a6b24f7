"""Notes of what a step leaves to those after it: variables, outputs, and where a language has such, all values so far."""

from agent.flow.expressions import write_value
from agent.job.commands.effects import Effects
from agent.job.steps.state import RunningJob, StepScope
from agent.job.steps.turns import StepEnd, Turn


def note_environment(job: RunningJob, scope: StepScope, effects: Effects) -> None:
    """Let the steps that follow find what was written for them; in a language without such, those of one composite action alone."""
    if job.conventions.keeps_environment:
        job.environment.apply(effects.env, effects.paths)
    elif scope.is_composite and effects.env:
        scope.env = {**scope.env, **effects.env}


def note_step(job: RunningJob, turn: Turn, end: StepEnd) -> None:
    """Enter a step's end into the contexts of its scope: text at the border of a language of text."""
    words, scope, spec = job.conventions, turn.scope, turn.spec
    has_values = words.has_values and not scope.is_composite
    outputs: dict[str, object] = {
        name: value if has_values else write_value(value) for name, value in end.effects.outputs.items()
    }
    if has_values:
        scope.values.update({name: value for name, value in end.effects.inputs.items() if value is not None})
        scope.values.update(outputs)
    members = words.output_members if has_values else ("outputs",)
    known = {
        **dict.fromkeys(members, outputs),
        "outcome": end.outcome.value,
        "conclusion": end.conclusion.value,
    }
    if not spec.id.startswith("__"):
        scope.steps[spec.id] = known
    if has_values and words.knows_steps_by_name and spec.name:
        scope.steps[turn.name] = known
