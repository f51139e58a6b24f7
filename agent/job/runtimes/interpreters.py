"""Interpreters of program actions: which program runs an action's scripts, and where. One function a kind of action."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from agent.config import bundled
from agent.errors import AgentError
from agent.job.process.hosts import MachineHost, StepHost
from agent.job.runtimes.kept import clean_home
from agent.job.runtimes.node import find_node, find_node_inside
from agent.job.runtimes.node_installation import MAJOR, install_musl_node, install_node
from agent.job.steps.parts import StepAction
from agent.job.steps.state import RunningJob
from agent.job.steps.steprun import StepRun
from agent.resolve.manifests.model import NodeRuns, PythonRuns

_LIBRARIES = "FLOW_LIBRARIES"
_FORCE = "FORCE_JAVASCRIPT_ACTIONS_TO_NODE24"


class Interpreter(NamedTuple):
    """What runs a script: the words in front of it and behind it, where, and variables of its own."""

    words: tuple[str, ...]
    host: StepHost
    arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = MappingProxyType({})


async def find_node_interpreter(step: StepRun, action: StepAction) -> Interpreter:
    """The action's node, where the job's steps run; one is installed where there is none. Raises AgentError."""
    runs = action.manifest.runs
    assert isinstance(runs, NodeRuns)
    return Interpreter((await choose_node(step, _choose_major(step, runs.version)),), step.job.host)


async def find_python_interpreter(step: StepRun, action: StepAction) -> Interpreter:
    """A Python with what the action needs, on the machine also where the job has a container. Raises StepFailure."""
    from agent.job.runtimes.python import find_python

    python = await asyncio.to_thread(find_python, step.job, action.folder)
    runs = action.manifest.runs
    assert isinstance(runs, PythonRuns)
    if runs.is_isolated:
        return Interpreter((python, "-I", "-B", "-u"), MachineHost(), env=find_libraries(action.folder))
    from agent.job.runtimes.value_argument import write_argument

    modules = {"PYTHONPATH": str(bundled("actions") / "_modules" / step.words.modules)}
    return Interpreter((python, "-s", "-B", "-u"), MachineHost(), (write_argument(step),), modules)


def find_libraries(action: Path) -> Mapping[str, str]:
    """Where the agent's own libraries lie, for the actions that are its own: `actions/_toolkit/fingerprints.py` uses one."""
    found = find_spec("cryptography") if action.is_relative_to(bundled("actions")) else None
    return {} if found is None or found.origin is None else {_LIBRARIES: str(Path(found.origin).parents[1])}


async def choose_node(step: StepRun, major: int) -> str:
    """The node of that major or a later one, where the job's steps run. Raises AgentError when there is none."""
    job = step.job
    if job.is_in_container:
        bring_musl = partial(_install, install_musl_node, job, is_musl=True)
        externals = job.conventions.folders.externals
        known = job.containers.nodes
        return await find_node_inside(major, job.host, job.graces, externals, known, bring_musl)
    path = job.environment.search_path(step.env)
    configured = {20: job.settings.node20, 24: job.settings.node24}
    node = await asyncio.to_thread(find_node, major, configured, path, job.settings.node_folder)
    if node is not None:
        return node
    if major > MAJOR:
        raise AgentError(f"this action needs node {major}, and there is none on this machine")
    step.log.say(
        f"There is no node {major} on this machine; installing node {MAJOR} for this job and those to come."
    )
    return await asyncio.to_thread(_install, install_node, job)


def _choose_major(step: StepRun, wanted: int) -> int:
    """The action's own, or the later one that the flow asks for in its `env`."""
    is_forced = step.job.environment.values.get(_FORCE, "").lower() == "true"
    return max(wanted, MAJOR) if is_forced else wanted


def _install(
    install: Callable[[Path, Mapping[str, str]], str], job: RunningJob, *, is_musl: bool = False
) -> str:
    if job.keeper is not None:
        return job.keeper.install_node(is_musl=is_musl)
    granted, is_needed = job.environment.granted, job.settings.has_own_home
    with clean_home(job.places.tools, granted, is_needed=is_needed) as environment:
        return install(job.places.tools, environment)
