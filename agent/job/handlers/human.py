"""Human actions: a person fills in a form, and what they have filled in are the step's outputs.

The form goes into the journal, so that whoever sees that knows it: the server, its viewers, a local run. Meanwhile nothing of
the step runs, its time-outs and the job's stand still, and the workspace is kept.
"""

from agent import codec
from agent.job.output.recorder import now_ms
from agent.job.steps.deadlines import all_paused
from agent.job.steps.steprun import RunSteps, StepFailure, StepRun
from agent.journal.format import FormAsked
from agent.resolve.manifests.model import HumanRuns
from agent.spec.outcome import FailureKind

MOST_FORM_BYTES = 256 << 10
_LONGEST_TITLE = 200


class HumanHandler:
    """Asks, and waits."""

    async def run(self, step: StepRun, run_steps: RunSteps) -> None:
        """Wait for the answer. Fails when nobody will give one."""
        assert step.action is not None
        runs, job = step.action.manifest.runs, step.job
        assert isinstance(runs, HumanRuns)
        step.show_action()
        form = dict(runs.form)
        if len(codec.dump(form)) > MOST_FORM_BYTES:
            raise StepFailure(f"the form is over {MOST_FORM_BYTES} bytes", FailureKind.ACTION)
        title = str(form.get("title") or step.action.manifest.name or step.log.name)[:_LONGEST_TITLE]
        step.log.say(f"Waits for a person: {title}")
        if job.runtime_token:  # there is a server
            step.log.say(f"The answer is given by: agent run answer {job.spec.run} '{job.spec.key}'")
        step.log.flush()
        with all_paused(step.deadlines):
            answered = job.people.ask(step.log.step)
            step.log.recorder.write(FormAsked(step.log.step, now_ms(), title, form))
            answer = await answered
        if answer.refusal:
            raise StepFailure(answer.refusal)
        step.log.say(f"Answered by {answer.by}")
        step.effects.outputs.update(answer.values)
