"""The containers of a job: its own, its services, the network between them; and the end of all of them.

    start_containers    network -> services -> the job's container -> services are healthy
    stop_containers     services' logs -> everything with the job's labels is removed -> files of root are given back

The first call of `open_engine` leaves a mark in the job folder, so that whoever buries a dead job knows to sweep.
"""

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.containers.paths import PathMap
from agent.errors import AgentError
from agent.job.containers.images import container_policy, settle_image
from agent.job.containers.network import close_ways, ensure_network, make_name
from agent.job.containers.sweeping import engine_address, job_labels, mark_engine_used, unmark_engine_used
from agent.job.output.recorder import StepLog
from agent.job.process.hosts import ContainerHost
from agent.job.runtimes.node import find_portable_nodes, name_mounted
from agent.job.steps.contexts import evaluate_value
from agent.job.steps.state import RunningJob, Service
from agent.spec.data import INPUTS

if TYPE_CHECKING:
    from agent.containers.blueprint import Blueprint
    from agent.containers.description import Description
    from agent.containers.engine import Engine
    from agent.containers.mounts import Mount

SOCKET = "/var/run/docker.sock"
_USED_UP = "the memory was used up"
_KEEP_RUNNING = (["tail"], ["-f", "/dev/null"])


async def open_engine(job: RunningJob) -> "Engine":
    """The container engine; connected to when it is first needed. Raises UnreachableError."""
    if job.containers.engine is None:
        from agent.containers.docker import DockerEngine

        address, keeper = engine_address(job.settings), job.keeper
        if keeper is None:
            mark_engine_used(job.folder)
            job.containers.engine = await DockerEngine.connect(address)
        elif not address.startswith("unix:"):
            await asyncio.to_thread(keeper.note_engine)
            job.containers.engine = await DockerEngine.connect(address)
        else:
            logins = await asyncio.to_thread(keeper.read_logins)
            job.containers.engine = await DockerEngine.connect(address, keeper.reach_engine, logins)
    engine: Engine = job.containers.engine
    return engine


async def start_containers(job: RunningJob, log: StepLog) -> None:
    """Have the job's container and services run, and let the steps that follow run in the container.

    Raises AgentError; what was made until then is removed by `stop_containers`.
    """
    own = _describe(job, job.spec.container, "container")
    services = _describe_services(job, log)
    if own is None and not services:
        return
    engine = await open_engine(job)
    await ensure_network(job, engine, log)
    for name, wanted in services.items():
        await _start_service(job, engine, name, wanted, log)
    if own is not None:
        await _start_own(job, engine, own, log)
    for name in services:
        pid = await _await_service(engine, job.containers.services[name], log)
        job.containers.pids.append(pid)


async def stop_containers(job: RunningJob, log: StepLog) -> None:
    """Remove whatever the job made at the engine. Raises AgentError when the engine refuses or is gone."""
    from agent.containers.ownership import take_ownership

    engine = job.containers.engine
    if engine is None:
        return
    labels = job_labels(job.folder)
    try:
        for service in job.containers.services.values():
            log.say(f"##[group]Log of the service '{service.name}'")
            await engine.read_log(service.id, log.write)
            log.say("##[endgroup]")
            if await engine.count_memory_kills(service.id):
                log.say(f"##[warning]The kernel killed a process of the service '{service.name}': {_USED_UP}")
        count = await engine.sweep(labels)
        log.say(f"Removed {count} containers, networks and volumes")
        for folder in set(job.places.mounted):
            await take_ownership(engine, folder, labels)
        await engine.sweep(labels)
        if job.keeper is None:
            unmark_engine_used(job.folder)
        else:
            await asyncio.to_thread(job.keeper.leave_engine)
    finally:
        close_ways(job)
        job.containers.engine = None
        await engine.close()


def own_folders(job: RunningJob) -> list[str]:
    """The folders that the job's containers may have without anybody's leave, with all below.

    None where the job is another user: between our look and the engine's, who is root, it could swap what is below.
    """
    places = job.places
    if places.held is not None:
        return []
    return [str(folder) for folder in (places.temp.parent, places.workspace, places.tools)]


def map_data(job: RunningJob) -> list[tuple[Path, str]]:
    """Where the job's data lies in every container of it: /inputs, /outputs, and folders that are named by their whole paths."""
    own = [(folder, f"/{folder.name}") for folder in job.places.data_folders]
    return [*own, *zip(job.places.outside_folders, job.places.outside, strict=True)]


def mount_data(job: RunningJob) -> "list[Mount]":
    """They are mounted; what was brought is there to be read, by whichever way a container gets to it."""
    from agent.containers.mounts import mount_own_folder

    mounts = [
        mount_own_folder(check_folder(host), inside, read_only=host.name == INPUTS)
        for host, inside in map_data(job)
    ]
    if job.places.data is not None and job.places.held is None and job.spec.container:
        inputs = job.places.data_folders[0]
        again = f"{job.conventions.folders.root}/{inputs.relative_to(job.places.temp.parent)}"
        mounts.append(mount_own_folder(check_folder(inputs), again, read_only=True))
    return mounts


def check_folder(folder: Path) -> str:
    """The path of a folder of the job that is to be mounted. Raises AgentError when the job made a link of it."""
    if folder.is_symlink():
        raise AgentError("a folder of the job was replaced by a link", where=str(folder))
    return os.path.realpath(folder)


def _describe(job: RunningJob, template: object, where: str) -> "Description | None":
    from agent.containers.description import read_description

    if not template:
        return None
    value = evaluate_value(job, job.scope, job.environment.values, template, where)
    return read_description(value, where)


def _describe_services(job: RunningJob, log: StepLog) -> "dict[str, Description]":
    templates = job.spec.services
    if templates and not isinstance(templates, Mapping):
        templates = evaluate_value(job, job.scope, job.environment.values, templates, "services")
    found: dict[str, Description] = {}
    for name, template in templates.items() if isinstance(templates, Mapping) else ():
        wanted = _describe(job, template, f"services.{name}")
        if wanted is None:
            log.say(
                f"The service '{name}' will not be started because the container definition has an empty image."
            )
        else:
            found[str(name)] = wanted
    return found


async def _bring(job: RunningJob, engine: "Engine", wanted: "Description", log: StepLog) -> "Blueprint":
    """The image is here, and this is what its container is to be."""
    from agent.containers.description import make_blueprint
    from agent.containers.images import bring_image

    policy = container_policy(job)
    wanted = replace(wanted, image=settle_image(job, wanted.image, wanted.where, log.say))
    is_own = wanted.where == "container"
    blueprint = make_blueprint(
        wanted,
        policy,
        own_folders=own_folders(job),
        network=job.containers.network,
        gpus=job.settings.gpus if is_own or "--gpus" in wanted.options else (),
        labels=job_labels(job.folder),
    )
    await bring_image(
        engine,
        wanted.image,
        log.say,
        policy=policy,
        credentials=wanted.credentials,
        is_local_run=not job.settings.server_url,
    )
    return blueprint


async def _start_service(
    job: RunningJob, engine: "Engine", name: str, wanted: "Description", log: StepLog
) -> None:
    import shlex

    log.say(f"##[group]Starting the service '{name}'")
    blueprint = await _bring(job, engine, wanted, log)
    blueprint.keeps_log = True
    blueprint.aliases.insert(0, name)
    if wanted.entrypoint:
        blueprint.entrypoint = shlex.split(wanted.entrypoint)
    if wanted.command:
        blueprint.command = shlex.split(wanted.command)
    part = re.sub(r"[^\w.-]", "-", name)
    container = await engine.create(make_name(job, part), blueprint)
    job.containers.services[name] = Service(name, container, wanted.image, job.containers.network)
    await engine.start(container)
    log.say("##[endgroup]")


async def _await_service(engine: "Engine", service: Service, log: StepLog) -> int:
    """The service's first process, once it is healthy; 0 of one that has ended. Raises EngineError."""
    from agent.containers.engine import EngineError
    from agent.containers.health import wait_until_healthy

    facts = await wait_until_healthy(engine, service.id)
    service.ports = dict(facts.ports)
    if facts.health in ("", "healthy") and facts.is_running:
        log.say(f"{service.name} service is {facts.health or 'running'}.")
        return facts.pid
    log.say(f"##[group]Log of the service '{service.name}'")
    await engine.read_log(service.id, log.write)
    log.say("##[endgroup]")
    how = facts.health if facts.is_running else f"ended with exit code {facts.exit_code}"
    if await engine.count_memory_kills(service.id):
        how += f"; the kernel killed a process of it: {_USED_UP}"
    if (
        not facts.health and not facts.is_running
    ):  # nobody asked whether it is healthy: it may have been a short one
        log.say(f"##[warning]Docker container {service.id} is not in running state: {how}")
        return facts.pid
    raise EngineError(
        f"Failed to initialize container {service.image}: {how}", where=f"services.{service.name}"
    )


async def _start_own(job: RunningJob, engine: "Engine", wanted: "Description", log: StepLog) -> None:
    from agent.containers.engine import EngineError
    from agent.containers.mounts import mount_own_folder

    log.say("##[group]Starting the job's container")
    blueprint = await _bring(job, engine, wanted, log)
    folders = _own_mounts(job)
    nodes = await asyncio.to_thread(find_portable_nodes, job.settings)
    blueprint.mounts = [
        *(mount_own_folder(check_folder(host), inside) for host, inside in folders),
        *mount_data(job),
        *(
            mount_own_folder(node, name_mounted(job.conventions.folders.externals, major), read_only=True)
            for major, node in nodes.items()
        ),
        *blueprint.mounts,
    ]
    if container_policy(job).allows("docker-socket"):
        blueprint.mounts.append(mount_own_folder(SOCKET, SOCKET))
    above = f"{job.conventions.folders.root}/{job.places.workspace.name}"
    above_it = [(job.places.root, above)] if job.places.held else []
    paths = PathMap([*folders, *map_data(job), *above_it])
    blueprint.workdir = blueprint.workdir or paths.to_inside(str(job.places.workspace))
    words = job.conventions
    blueprint.env = {"HOME": words.folders.home, **words.always, **words.usually, **blueprint.env}
    blueprint.entrypoint, blueprint.command = _KEEP_RUNNING
    if job.apps:
        from agent.job.apps.publishing import publish_apps

        publish_apps(job, blueprint)
    blueprint.host_config.setdefault(
        "Init", True
    )  # somebody has to bury the processes that steps leave behind
    container = await engine.create(make_name(job, "job"), blueprint)
    job.containers.container = {"id": container, "network": job.containers.network}
    try:
        await engine.start(container)
    except EngineError as error:
        hint = "an image for jobs has a shell and `tail`" if "tail" in error.what else ""
        raise EngineError(
            f"the job's container does not start: {error.what}", where="container", hint=hint
        ) from None
    facts = await engine.inspect(container)
    if not facts.is_running:
        raise EngineError(
            f"the job's container ended at once with exit code {facts.exit_code}", where="container"
        )
    job.containers.pids.append(facts.pid)
    job.matchers.to_host = paths.to_host
    job.host = ContainerHost(
        engine, container, paths, {"PATH": facts.env["PATH"]} if "PATH" in facts.env else {}
    )
    log.say("##[endgroup]")


def _own_mounts(job: RunningJob) -> Sequence[tuple[Path, str]]:
    """Where the job's folders lie in its container."""
    places, inside = job.places, job.conventions.folders
    places.container_home.mkdir(exist_ok=True)
    name = places.workspace.name
    folders = [
        (places.tools, inside.tools),
        (places.container_home, inside.home),
        (places.event.parent, inside.event),
    ]
    if places.held is not None:
        parts = [(places.temp, f"{inside.root}/_temp"), (places.action_copies, f"{inside.root}/_actions")]
        parts.append((places.command_files, f"{inside.root}/_file_commands"))
        return [*parts, *folders, (places.workspace, inside.own_workspace or f"{inside.root}/{name}/{name}")]
    root = places.temp.parent
    if inside.own_workspace or not places.workspace.is_relative_to(root):
        folders.insert(0, (places.workspace, inside.own_workspace or f"{inside.root}/{name}/{name}"))
    return [(root, inside.root), *folders]
