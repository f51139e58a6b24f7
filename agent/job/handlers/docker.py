"""Container actions: `using: docker` with a Dockerfile or an image, and `docker://image` as a step. Each stage is a container of its own."""

from agent.job.apps.publishing import publish_for_step
from agent.job.containers.action_containers import prepare_container
from agent.job.steps.steprun import RunSteps, StepFailure, StepRun
from agent.resolve.manifests.model import DockerRuns


class DockerHandler:
    """Runs one stage of a container action."""

    async def run(self, step: StepRun, run_steps: RunSteps) -> None:
        """Have the image, run a container of it, and fail when its exit code is not 0."""
        assert step.action is not None
        runs = step.action.manifest.runs
        assert isinstance(runs, DockerRuns)
        step.show_action()
        made = await prepare_container(step, runs)
        with publish_for_step(step.job, made.blueprint):
            code = await step.run_process(made.arguments, cwd=made.cwd, extra=made.extra, host=made.host)
        if code != 0:
            raise StepFailure(f"Docker run failed with exit code {code}", exit_code=code)
