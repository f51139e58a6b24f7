"""Program actions: a file of the action's for each stage, given to an interpreter (`using: node24`, `using: python`).

Which interpreter, and where, is `agent.job.runtimes`'.
Source: actions/runner `NodeScriptActionHandler.cs`; `using: python` is ours (docs/actions.md).
"""

from collections.abc import Awaitable, Callable

from agent.errors import AgentError
from agent.job.runtimes.interpreters import Interpreter
from agent.job.runtimes.setup_hints import explain_failed_setup
from agent.job.steps.parts import StepAction
from agent.job.steps.steprun import RunSteps, StepFailure, StepRun, StepStage
from agent.resolve.manifests.model import NodeRuns, PythonRuns

FindInterpreter = Callable[[StepRun, StepAction], Awaitable[Interpreter]]


class ProgramHandler:
    """Runs one stage of an action that is a program. `find_interpreter` raises AgentError or StepFailure."""

    def __init__(self, find_interpreter: FindInterpreter) -> None:
        self._find_interpreter = find_interpreter

    async def run(self, step: StepRun, run_steps: RunSteps) -> None:
        """Run the stage's script, and fail when its exit code is not 0."""
        assert step.action is not None
        runs = step.action.manifest.runs
        assert isinstance(runs, NodeRuns | PythonRuns)
        script = {StepStage.PRE: runs.pre, StepStage.MAIN: runs.main, StepStage.POST: runs.post}[step.stage]
        file = step.action.folder / script
        if not file.is_file():
            raise AgentError(
                f"the action's script '{script}' is missing", where=str(step.spec.uses), hint="was it built?"
            )
        step.show_action()
        words, host, behind, env = await self._find_interpreter(step, step.action)
        arguments = [*words, host.paths.to_inside(str(file)), *behind]
        code = await step.run_process(arguments, extra={**env, **step.service_variables()}, host=host)
        if code != 0:
            if hint := explain_failed_setup(step):
                step.log.say(f"##[warning]{hint}")
            raise StepFailure(f"Process completed with exit code {code}.", exit_code=code)
