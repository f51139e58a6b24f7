"""Programs of a job's stages: Python, node, shell and environment are those that a step would have.

See `agent.job.stages.stage.Programs`. They see none of the flow's secrets but those that their stage's configuration names.
"""

import asyncio
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.errors import AgentError
from agent.flow.expressions import write_value
from agent.job.attach.program import Program, open_program
from agent.job.process.programs import find_executable
from agent.job.stages.stage import StageProgram
from agent.job.steps.actions import Actions
from agent.job.steps.inputs import read_inputs
from agent.job.steps.parts import StepAction
from agent.job.steps.state import RunningJob
from agent.job.steps.steprun import StepFailure, StepRun, make_bystander
from agent.spec.job import SpecStepKind, StepSpec

if TYPE_CHECKING:  # it brings the YAML reader along
    from agent.resolve.manifests.model import DockerRuns

_MARK: Final = "FLOW_STAGE"  # the variable by which all that a program started is known
_NODE_MAJOR: Final = 20


class JobPrograms:
    """See Programs."""

    def __init__(self, job: RunningJob, actions: Actions) -> None:
        self._job = job
        self._actions = actions

    async def find_python(self, folder: Path) -> str:
        """See Programs."""
        from agent.job.runtimes.python import find_python

        try:
            return await asyncio.to_thread(find_python, self._job, folder)
        except StepFailure as failure:
            raise AgentError(str(failure)) from None

    async def find_node(self) -> str:
        """See Programs."""
        from agent.job.runtimes.interpreters import choose_node

        return await choose_node(make_bystander(self._job), _NODE_MAJOR)

    async def find_shell(self, name: str, script: Path) -> Sequence[str]:
        """See Programs. The shell is named as a step's `shell:` is."""
        words = self._job.conventions
        templates = (words.shells.get(name.lower(), name),) if name else words.default_shells
        path = self._job.environment.search_path(self._job.environment.values)
        for template in templates:
            program, *rest = _split(template)
            if "{0}" in template and (found := find_executable(program, path)):
                return [found, *(word.replace("{0}", str(script)) for word in rest)]
        raise AgentError(
            f"there is no shell '{name or templates[-1]}' on this machine",
            hint="name one that is installed, or a command line with {0} for the script's file",
        )

    async def find_action(
        self, uses: str, inputs: Mapping[str, object], say: Callable[[str], None]
    ) -> StageProgram:
        """See Programs: an action's `main`, with its inputs in its environment; its `pre` and `post` have no turn."""
        instance = await self._actions.instance(("__stages", uses), uses, None)
        step = self._make_step(uses, instance.action, inputs)
        return await _find_program(step, instance.action, say)

    async def open(self, arguments: Sequence[str], env: Mapping[str, str]) -> Program:
        """See Programs."""
        mark = os.urandom(16).hex()
        environment = make_bystander(self._job).describe_environment({**env, _MARK: mark})
        return open_program(
            arguments,
            cwd=self._job.places.workspace,
            env=environment,
            window=None,
            graces=self._job.graces,
            mark=f"{_MARK}={mark}",
        )

    def _make_step(self, uses: str, action: StepAction, inputs: Mapping[str, object]) -> StepRun:
        """A step of the action's with these inputs: texts as they are, for there may be secrets in them, and no templates."""
        step = make_bystander(self._job)
        step.spec = StepSpec(SpecStepKind.USES, "__stage", uses=uses)
        step.action = action
        defaults = read_inputs(step, action)
        names = {name.lower(): name for name in defaults}
        given = {names.get(name.lower(), name): value for name, value in inputs.items()}
        step.values = {**defaults, **given}
        step.inputs = {name: write_value(value) for name, value in step.values.items()}
        return step


async def _find_program(step: StepRun, action: StepAction, say: Callable[[str], None]) -> StageProgram:
    from agent.job.runtimes.interpreters import find_node_interpreter, find_python_interpreter
    from agent.resolve.manifests.model import DockerRuns, NodeRuns, PythonRuns

    runs = action.manifest.runs
    uses = str(step.spec.uses)
    if isinstance(runs, DockerRuns):
        return StageProgram((), {}, partial(_open_container, step, runs))
    if not isinstance(runs, NodeRuns | PythonRuns):
        raise AgentError(
            f"'{uses}' can't be a stage: it is no program of its own that could stay up",
            hint="actions that run with node, Python or in a container can; put what its steps do into a `run` stage",
        )
    if runs.pre or runs.post:
        say(f"'{uses}' has a `pre` or a `post`: as a stage it has none")
    file = action.folder / runs.main
    if not file.is_file():
        raise AgentError(f"the action's script '{runs.main}' is missing", where=uses, hint="was it built?")
    find = find_node_interpreter if isinstance(runs, NodeRuns) else find_python_interpreter
    try:
        words, _host, behind, env = await find(step, action)
    except StepFailure as failure:
        raise AgentError(str(failure), where=uses) from None
    own = step.describe_environment({**env, **step.service_variables()})
    return StageProgram([*words, str(file), *behind], own)


async def _open_container(step: StepRun, runs: "DockerRuns") -> Program:
    from agent.job.stages.container_program import open_action

    try:
        return await open_action(step, runs)
    except StepFailure as failure:
        raise AgentError(str(failure), where=str(step.spec.uses)) from None


def _split(template: str) -> Sequence[str]:
    try:
        return shlex.split(template)
    except ValueError as error:
        raise AgentError(f"the shell '{template}' can't be read: {error}") from None
