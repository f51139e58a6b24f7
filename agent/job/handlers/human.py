"""Human actions: a person fills in a form, and what they have filled in are the step's outputs.

The form goes into the journal, so that whoever sees that knows it: the server, its viewers, a local run. Meanwhile nothing of
the step runs, its time-outs and the job's stand still, and the workspace is kept. Slot, cores, memory and GPUs are given back where
nothing else of the job runs, and taken again with the answer.
"""

from agent import codec
from agent.job.output.recorder import now_ms
from agent.job.steps.deadlines import all_paused
from agent.job.steps.giving_back import find_hindrance, give_back, take_again
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
        hindrance = find_hindrance(job)
        if hindrance:
            step.log.say(f"Meanwhile the job keeps what it has of this machine: {hindrance}")
        else:
            give_back(job)
        step.log.flush()
        with all_paused(step.deadlines):
            answered = job.people.ask(step.log.step)
            asked = FormAsked(step.log.step, now_ms(), title, form, gives_back=not hindrance)
            step.log.recorder.write(asked)
            answer = await answered
        if not hindrance:
            take_again(job, answer)
        if answer.refusal:
            raise StepFailure(answer.refusal)
        step.log.say(f"Answered by {answer.by}")
        if not hindrance and job.settings.given.get("AGENT_GPUS"):
            step.log.say(f"Goes on with GPUs: {job.settings.given['AGENT_GPUS']}")
        step.effects.outputs.update(answer.values)
