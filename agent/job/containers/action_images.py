"""The images of container actions: pulled or built once a job, those that are known beforehand before its first step."""

from typing import TYPE_CHECKING

from agent.errors import NotFoundError, RefusedError
from agent.job.containers.images import container_policy, pin_bases, settle_image
from agent.job.containers.lifecycle import open_engine
from agent.job.containers.network import reach_services
from agent.job.output.recorder import StepLog
from agent.job.steps.parts import StepAction
from agent.job.steps.state import RunningJob
from agent.resolve.dockerfile import list_bases
from agent.resolve.manifests.model import DockerRuns

if TYPE_CHECKING:
    from agent.containers.engine import Engine
    from agent.containers.policy import ContainerPolicy

_SCHEME = "docker://"


def needs_image(action: StepAction) -> bool:
    """Whether this is a container action."""
    return isinstance(action.manifest.runs, DockerRuns)


def describe_image(action: StepAction, uses: str) -> str:
    """What getting the image is called in the log."""
    runs = action.manifest.runs
    assert isinstance(runs, DockerRuns)
    return f"Pull {runs.image.removeprefix(_SCHEME)}" if _is_named(runs) else f"Build {uses}"


async def bring_for(job: RunningJob, action: StepAction, log: StepLog) -> None:
    """Have the action's image before the first step, and its container reach what serves the job. Raises AgentError."""
    await find_image(job, action, log)
    await reach_services(job, await open_engine(job), log)


async def find_image(job: RunningJob, action: StepAction, log: StepLog) -> str:
    """The name of the image to run; it is here when this returns. Raises AgentError."""
    from agent.containers.description import check_image
    from agent.containers.images import bring_image, build_image

    runs = action.manifest.runs
    assert isinstance(runs, DockerRuns)
    key = runs.image if _is_named(runs) else str(action.folder / runs.image)
    known = job.containers.images.get(key)
    if known:
        return known
    policy = container_policy(job)
    if _is_named(runs):
        image = check_image(runs.image[len(_SCHEME) :], runs.image)
        image = settle_image(job, image, runs.image, log.say)
        engine = await open_engine(job)
        await bring_image(engine, image, log.say, policy=policy, is_local_run=not job.settings.server_url)
    else:
        policy.require_build(runs.image)
        dockerfile = (action.folder / runs.image).resolve()
        if not dockerfile.is_relative_to(action.root.resolve()):
            raise RefusedError("the action's Dockerfile lies outside its repository", where=runs.image)
        if not dockerfile.is_file():
            raise NotFoundError("the action has no such Dockerfile", where=runs.image)
        written = dockerfile.read_text(encoding="utf-8", errors="surrogateescape")
        text = pin_bases(job, written, runs.image, log.say)
        engine = await open_engine(job)
        await _bring_bases(engine, text or written, log, policy)
        image = await build_image(engine, dockerfile, log.say, text=text)
    job.containers.images[key] = image
    return image


async def _bring_bases(engine: "Engine", dockerfile: str, log: StepLog, policy: "ContainerPolicy") -> None:
    """Pull what the Dockerfile is built from and is not here: with patience, progress and this machine's `docker login`.

    BuildKit knows no login of ours: it would have to ask a session that docker-py can't hold. What can't be pulled is the builder's to judge:
    it may belong to a stage that nobody needs.
    """
    from agent.containers.engine import ImageError
    from agent.containers.images import bring_image

    for base in list_bases(dockerfile):
        if not base.is_open and await engine.find_image(base.image) is None:
            try:
                await bring_image(engine, base.image, log.say, policy=policy)
            except ImageError as error:
                log.say(f"##[warning]{error}")


def _is_named(runs: DockerRuns) -> bool:
    return runs.image.lower().startswith(_SCHEME)
