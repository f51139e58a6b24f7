"""The container of a container action: made for one stage of a step, with the job's folders where the conventions have them.

Its environment is the step's; values that are paths of the job are turned into paths of the container.
Source: actions/runner `ContainerActionHandler.cs`.
"""

import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from agent.containers.blueprint import Blueprint
from agent.containers.engine import Engine, ImageError
from agent.containers.mounts import mount_own_folder
from agent.containers.paths import PathMap
from agent.errors import AgentError
from agent.flow.expressions import to_text
from agent.job.containers.action_images import find_image
from agent.job.containers.images import container_policy
from agent.job.containers.lifecycle import SOCKET, check_folder, map_data, mount_data, open_engine
from agent.job.containers.network import reach_services
from agent.job.containers.sweeping import job_labels
from agent.job.process.hosts import ActionHost
from agent.job.steps.contexts import evaluate_value
from agent.job.steps.state import RunningJob, StepScope
from agent.job.steps.steprun import StepFailure, StepRun, StepStage
from agent.resolve.manifests.model import DockerRuns
from agent.spec.outcome import FailureKind


@dataclass(frozen=True, slots=True)
class ActionContainer:
    """A container to be, and what its program begins with."""

    engine: Engine
    host: ActionHost
    blueprint: Blueprint
    arguments: Sequence[str]
    cwd: str
    extra: Mapping[str, str]  # environment that nothing overrides


async def prepare_container(step: StepRun, runs: DockerRuns) -> ActionContainer:
    """Have the image, and say how a container of it is made; the step has its `env` then. Raises StepFailure, AgentError."""
    assert step.action is not None
    try:
        image = await find_image(step.job, step.action, step.log)
    except ImageError as error:
        raise StepFailure(str(error), FailureKind.IMAGE) from None
    engine = await open_engine(step.job)
    await reach_services(step.job, engine, step.log)
    facts = await engine.find_image(image)
    folders = _folders(step.job)
    actions = _action_folders(step.job)
    blueprint = _make_blueprint(step, runs, image, folders)
    blueprint.mounts += [
        mount_own_folder(check_folder(host), inside, read_only=True) for host, inside in actions
    ]
    name = f"{step.job.folder.tracking_id}_action_{secrets.token_hex(4)}"
    granted = {"PATH": facts.env["PATH"]} if facts and "PATH" in facts.env else {}
    paths = PathMap([*folders, *actions, *map_data(step.job)])
    host = ActionHost(engine, name, blueprint, paths, granted)
    usual = step.job.host.paths
    step.job.matchers.to_host = lambda path: usual.to_host(paths.to_host(path))
    scope = StepScope(path=("__args",), inputs=step.inputs)
    step.env = MappingProxyType({**_own_env(step, runs, scope), **step.env})
    words = step.job.conventions
    extra = step.service_variables()
    if not words.keeps_image_places:
        extra["HOME"] = words.folders.home
    extra.pop("ACTIONS_CACHE_SERVICE_V2", None)  # as at GitHub: only node actions hear of it
    cwd = "" if words.keeps_image_places else str(step.job.places.workspace)
    return ActionContainer(engine, host, blueprint, _arguments(step, runs, scope), cwd, extra)


def _folders(job: RunningJob) -> list[tuple[Path, str]]:
    """Where the job's folders lie in an action's container."""
    places, inside = job.places, job.conventions.folders
    places.container_home.mkdir(exist_ok=True)
    return [
        (places.temp, inside.temp),
        (places.container_home, inside.home),
        (places.event.parent, inside.event),
        (places.command_files, inside.command_files),
        (places.workspace, inside.workspace),
    ]


def _action_folders(job: RunningJob) -> list[tuple[Path, str]]:
    """Where the job's copies of fetched actions lie in there: one may want what is beside its Dockerfile."""
    copies, inside = job.places.action_copies, job.conventions.folders.actions
    return [(copies, inside)] if inside and copies.is_dir() else []


def _make_blueprint(
    step: StepRun, runs: DockerRuns, image: str, folders: list[tuple[Path, str]]
) -> Blueprint:
    job = step.job
    mounts = [mount_own_folder(check_folder(host), inside) for host, inside in folders]
    mounts += mount_data(job)
    policy = container_policy(job)
    if policy.allows("docker-socket"):
        mounts.append(mount_own_folder(SOCKET, SOCKET))
    entrypoint = _entrypoint(step, runs)
    blueprint = Blueprint(
        image,
        labels=job_labels(job.folder),
        entrypoint=[entrypoint] if entrypoint else None,
        network=job.containers.network,
        mounts=mounts,
        gpus=job.settings.gpus,
    )
    blueprint.choose_user(policy, step.spec.uses or step.place)
    return blueprint


def _entrypoint(step: StepRun, runs: DockerRuns) -> str:
    if step.stage is StepStage.PRE:
        return runs.pre_entrypoint
    if step.stage is StepStage.POST:
        return runs.post_entrypoint
    return runs.entrypoint or (_input(step, "entrypoint") if runs.takes_words else "")


def _arguments(step: StepRun, runs: DockerRuns, scope: StepScope) -> list[str]:
    """What follows the entrypoint: the manifest's list, or the words of the input `args`."""
    if runs.args:
        return [to_text(evaluate_value(step.job, scope, {}, item, step.place)) for item in runs.args]
    if not runs.takes_words:
        return []
    try:
        return shlex.split(_input(step, "args"))
    except ValueError as error:
        raise AgentError(f"the input 'args' cannot be read: {error}", where=step.place) from None


def _own_env(step: StepRun, runs: DockerRuns, scope: StepScope) -> Mapping[str, str]:
    return {
        name: to_text(evaluate_value(step.job, scope, {}, value, step.place))
        for name, value in runs.env.items()
    }


def _input(step: StepRun, name: str) -> str:
    return next((value for key, value in step.inputs.items() if key.lower() == name), "")
