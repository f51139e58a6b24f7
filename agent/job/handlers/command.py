"""Command actions: a command line for `sh`, or a file of the action's own that is executed.

Source: the old agent's `pipelines/runner/command.py` and `shell.py`: both in the workspace, a command as `sh -c` reads it.
"""

import os
from pathlib import Path

from agent.errors import AgentError
from agent.flow.expressions import ExpressionError, evaluate_paths, write_value
from agent.job.process.programs import find_executable
from agent.job.steps.contexts import value_contexts
from agent.job.steps.steprun import RunSteps, StepFailure, StepRun
from agent.resolve.manifests.model import CommandRuns, ScriptRuns

_LONGEST_LINE = 256


class CommandHandler:
    """Runs a command line."""

    async def run(self, step: StepRun, run_steps: RunSteps) -> None:
        """Fill in what the machine knows, run it, and fail when its exit code is not 0."""
        assert step.action is not None
        runs = step.action.manifest.runs
        assert isinstance(runs, CommandRuns)
        step.show_action()
        contexts = {
            **step.job.spec.contexts,
            **value_contexts(step.job, step.scope, step.words, step.about(step.action)),
        }
        try:
            command = write_value(evaluate_paths(runs.command, contexts))
        except ExpressionError as error:
            raise AgentError(
                f"the action's command can't be run: {error.message}", where=step.place
            ) from None
        await _run(step, ["sh", "-c", command])


class FileHandler:
    """Runs a file of the action's."""

    async def run(self, step: StepRun, run_steps: RunSteps) -> None:
        """Run it, as its first line says, and fail when its exit code is not 0."""
        assert step.action is not None
        runs = step.action.manifest.runs
        assert isinstance(runs, ScriptRuns)
        file = step.action.folder / runs.main
        if not file.is_file():
            raise AgentError(f"the action's script '{runs.main}' is missing", where=str(step.spec.uses))
        step.show_action()
        await _run(step, [*_find_interpreter(file), step.job.show_path(file), *runs.arguments])


def _find_interpreter(file: Path) -> list[str]:
    """The words in front of the file: those of its first line, where it can't be executed as it is; without any, `sh`."""
    with file.open("rb") as stream:
        first = stream.readline(_LONGEST_LINE).decode("utf-8", "replace").strip()
    if not first.startswith("#!"):
        return ["sh"]
    return [] if os.access(file, os.X_OK) else first.removeprefix("#!").split()


async def _run(step: StepRun, arguments: list[str]) -> None:
    program, *rest = arguments
    code = await step.run_process([_find_program(step, program), *rest], extra=step.service_variables())
    if code != 0:
        raise StepFailure(f"Process completed with exit code {code}.", exit_code=code)


def _find_program(step: StepRun, name: str) -> str:
    """The program's path; in a container, its engine looks for it."""
    if "/" in name or step.job.is_in_container:
        return name
    found = find_executable(name, step.job.environment.search_path(step.env))
    if found is None:
        raise AgentError(f"'{name}' is not installed on this machine", where=step.place)
    return found
